/** Room on the disk that was promised to one caller, and is taken piece by piece. */

/** Promised at a time to a body of unknown length, so that not every piece has to ask. */
const stepBytes = 4 * 2 ** 20

export interface Ledger {
  readonly more: (bytes: number) => Promise<void>
  readonly wrote: (bytes: number) => void
  readonly release: (bytes: number) => void
  readonly hold: (name: string, bytes: number) => void
}

/** Room that was promised to one caller. */
export class Reservation {
  #left: number
  readonly #ledger: Ledger

  constructor(bytes: number, ledger: Ledger) {
    this.#left = bytes
    this.#ledger = ledger
  }

  /** To be called before `bytes` are written. @throws ServiceError DISK_FULL */
  async take(bytes: number): Promise<void> {
    if (bytes > this.#left) await this.#extend(bytes - this.#left)
    this.#left -= bytes
    this.#ledger.wrote(bytes)
  }

  /** Has `bytes` of it held under a name from now on. @throws ServiceError DISK_FULL */
  async leave(name: string, bytes: number): Promise<void> {
    if (bytes > this.#left) await this.#extend(bytes - this.#left)
    this.#left -= bytes
    this.#ledger.hold(name, bytes)
  }

  /** Gives back what was not taken. Releasing twice is harmless. */
  release(): void {
    this.#ledger.release(this.#left)
    this.#left = 0
  }

  async #extend(missing: number): Promise<void> {
    const step = Math.max(missing, stepBytes)
    try {
      await this.#ledger.more(step)
      this.#left += step
    } catch (error) {
      if (step === missing) throw error
      await this.#ledger.more(missing)
      this.#left += missing
    }
  }
}
