/** Pauses between tries of the same thing, each twice as long as the one before, up to a limit. */

const firstMs = 15_000
const longestMs = 300_000

export class Pauses {
  readonly #pauses = new Map<string, { readonly until: number; readonly ms: number }>()

  /** Begins the next pause of `id`. Returns its length in milliseconds. */
  begin(id: string, now = Date.now()): number {
    const before = this.#pauses.get(id)
    const ms = before === undefined ? firstMs : Math.min(before.ms * 2, longestMs)
    this.#pauses.set(id, { until: now + ms, ms })
    return ms
  }

  isOn(id: string, now = Date.now()): boolean {
    return (this.#pauses.get(id)?.until ?? 0) > now
  }

  /** Those whose pause is on. */
  current(now = Date.now()): string[] {
    return [...this.#pauses.keys()].filter((id) => this.isOn(id, now))
  }

  /** When the first of the pauses that are on ends; Infinity when none is. */
  nextEnd(now = Date.now()): number {
    const ends = this.#pauses.values().map(({ until }) => until)
    return ends
      .filter((until) => until > now)
      .reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  }

  /** Forgets `id`: its next pause is a first one. */
  forget(id: string): void {
    this.#pauses.delete(id)
  }
}
