/**
 * Keeps the removal of a content from crossing its arrival: one step at a time for each content.
 *
 * A content that is stored again while a sweep looks at it must stay, and so must one whose row is about
 * to be written. There is one process that writes a store, so a table in memory is enough.
 */
export class Contents {
  readonly #turns = new Map<string, Promise<void>>()
  readonly #held = new Map<string, number>()

  /** Runs `work` when no other work on this content is under way. */
  async alone<T>(sha256: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(sha256)
    const result = before === undefined ? work() : before.then(work)
    const turn = result.then(
      () => {},
      () => {}
    )
    this.#turns.set(sha256, turn)
    try {
      return await result
    } finally {
      if (this.#turns.get(sha256) === turn) this.#turns.delete(sha256)
    }
  }

  /** Has a content stay until the answer is called. */
  hold(sha256: string): () => void {
    this.#held.set(sha256, (this.#held.get(sha256) ?? 0) + 1)
    return () => {
      const left = (this.#held.get(sha256) ?? 1) - 1
      if (left > 0) this.#held.set(sha256, left)
      else this.#held.delete(sha256)
    }
  }

  isHeld(sha256: string): boolean {
    return this.#held.has(sha256)
  }
}
