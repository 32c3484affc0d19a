/**
 * When the api could not be expected to answer: from before a fault hits it until it answers again.
 *
 * Outside of these times every request must be answered, whatever else is killed, frozen or emptied.
 */
export class Outages {
  readonly #past: { readonly from: number; readonly to: number }[] = []
  readonly #open = new Set<number>()

  /** Begins an outage; the returned function ends it. */
  begin(): () => void {
    const from = performance.now()
    this.#open.add(from)
    return () => {
      if (this.#open.delete(from)) this.#past.push({ from, to: performance.now() + settleMs })
    }
  }

  /** Whether any part of the time since `from` lies in an outage. */
  covers(from: number): boolean {
    return this.#open.size > 0 || this.#past.some(({ to }) => to >= from)
  }
}

/** Connections from before an outage may turn out to be dead a moment after it. */
const settleMs = 1000
