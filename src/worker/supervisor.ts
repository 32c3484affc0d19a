/**
 * The attempts that this worker runs, one a job: starts them, and ends them all.
 *
 * A dispatch may come twice, and its lock in Redis may be lost while its trainer is in the best of
 * health. Neither ends an attempt: the api alone says who holds a job
 * (docs/decisions/0016-a-lost-lock-is-only-a-hint.md).
 */
import { Attempt, type AttemptOptions } from './attempt.ts'
import { evict } from './cache-eviction.ts'

export interface Supervisor {
  /** Runs one dispatch to its end. Never throws. `lockLost` has it ask the api at once. */
  run(
    dispatch: { readonly id: string; readonly dispatch: number },
    lockLost: AbortSignal
  ): Promise<void>
  /** Attempts that are running. */
  readonly busy: number
  /** Has every trainer checkpoint, releases the jobs, and waits for both. */
  shutdown(): Promise<void>
}

interface Running {
  readonly attempt: Attempt
  readonly done: Promise<void>
}

export function createSupervisor(options: AttemptOptions): Supervisor {
  const running = new Map<string, Running>()
  const { cacheBytes = Number.POSITIVE_INFINITY } = options
  let closing = false

  const makeRoom = async (): Promise<void> => {
    try {
      const evicted = await evict(options.cacheDir, cacheBytes)
      if (evicted.removed > 0) options.log.info(evicted, 'cache cut back')
    } catch (error) {
      options.log.error({ err: error }, 'the cache could not be cut back')
    }
  }
  return {
    async run({ id, dispatch }, lockLost) {
      // One that does not hold its job any more makes way for the next.
      for (let held = running.get(id); held !== undefined; held = running.get(id)) {
        if (closing || (await held.attempt.confirm())) return
        await held.done
      }
      if (closing) return
      const attempt = new Attempt(options)
      const ask = (): void => void attempt.confirm()
      lockLost.addEventListener('abort', ask, { once: true })
      const done = attempt.run(id, dispatch)
      running.set(id, { attempt, done })
      await done.finally(() => running.delete(id))
      await makeRoom()
    },
    get busy() {
      return running.size
    },
    async shutdown() {
      closing = true
      for (const { attempt } of running.values()) attempt.release()
      await Promise.all([...running.values()].map(({ done }) => done))
    }
  }
}
