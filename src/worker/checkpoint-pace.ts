/**
 * When the next checkpoint of a training under way is due: its cost decides, not the length of an epoch.
 *
 * Young, "A first order approximation to the optimum checkpoint interval", CACM 17, 1974, balances cost
 * against the work that a failure loses, given the time between failures. That time is not known here, so
 * the cost is held to a share of the time instead. It counts what training waits for (collecting,
 * writing, flushing) and the transfer to the api beside it.
 */

/** Checkpoints may take one part in twenty of the time. */
const share = 0.05
/** However much one costs, no more than this is lost. */
const longestSeconds = 600
/** The cost of the first is not known: after its first epoch, and at the latest then. */
const firstSeconds = 10

export class CheckpointPace {
  readonly #now: () => number
  #since: number
  #writing: number | null = null
  #transfer = 0
  /** The one that is under way to the api. */
  #sent: string | null = null

  /** `now` in seconds of a clock that never goes back. */
  constructor(now = () => performance.now() / 1000) {
    this.#now = now
    this.#since = now()
  }

  /** Whether one is worth its cost now. */
  isDue({ epochEnded }: { readonly epochEnded: boolean }): boolean {
    const elapsed = this.#now() - this.#since
    if (elapsed >= longestSeconds) return true
    if (this.#writing === null) return epochEnded || elapsed >= firstSeconds
    // Another would take the place of the one that is being sent, and none would arrive.
    return this.#sent === null && elapsed >= (this.#writing + this.#transfer) / share
  }

  /** Notes what writing one has taken; its transfer begins. */
  written(name: string, seconds: number): void {
    this.#writing = seconds
    this.#sent = name
    this.#since = this.#now()
  }

  /** Notes that the api has it. */
  kept(name: string, seconds: number): void {
    if (name !== this.#sent) return
    this.#transfer = seconds
    this.#sent = null
  }
}
