/** Work that comes round: reconciliation every 15 s, sweeping once an hour. */
export interface Chore {
  readonly everyMs: number
  readonly run: () => Promise<unknown>
}

/** Starts the chores; the answer stops them and waits for those that are running. */
export function keepUp(
  chores: readonly Chore[],
  onError: (error: unknown) => void
): () => Promise<void> {
  const running = new Set<Promise<unknown>>()
  const timers = chores.map(({ everyMs, run }) => {
    let busy = false
    return setInterval(() => {
      // A chore that takes longer than its interval is not started on top of itself.
      if (busy) return
      busy = true
      const task = run()
        .catch(onError)
        .finally(() => {
          busy = false
          running.delete(task)
        })
      running.add(task)
    }, everyMs)
  })
  return async () => {
    for (const timer of timers) clearInterval(timer)
    await Promise.all(running)
  }
}
