/**
 * The line before a model: first come, first served, with a bounded number of places.
 *
 * What does not fit is refused at once with an estimate of when there will be room: a caller that
 * knows can retry, a caller that waits for ever cannot.
 */
import { ServiceError } from '../errors.ts'

export interface AdmissionOptions {
  /** Entries that may wait. A group that comes to an empty line is always admitted. */
  readonly places: number
}

/** Bounds of `Retry-After`, in seconds. */
const [soonest, latest] = [1, 30]

export class Admission<T> {
  readonly #places: number
  readonly #line: T[] = []

  constructor({ places }: AdmissionOptions) {
    this.#places = places
  }

  get waiting(): number {
    return this.#line.length
  }

  /**
   * Gives all of `entries` a place, or none.
   *
   * @param perSecond - entries that were served per second lately; 0 when unknown.
   * @throws ServiceError QUEUE_FULL with `retryAfter`.
   */
  admit(entries: readonly T[], perSecond: number): void {
    const waiting = this.#line.length
    if (waiting > 0 && waiting + entries.length > this.#places) {
      const seconds = perSecond > 0 ? Math.ceil(waiting / perSecond) : soonest
      throw new ServiceError('QUEUE_FULL', {
        detail: `Cannot accept the request: at most ${this.#places} images may wait, ${waiting} do, received ${entries.length} more`,
        retryAfter: Math.min(latest, Math.max(soonest, seconds))
      })
    }
    this.#line.push(...entries)
  }

  /** Takes up to `n` from the front, stopping after or before an entry that wants to be alone. */
  take(n: number, alone: (entry: T) => boolean): T[] {
    const [first] = this.#line
    if (first === undefined) return []
    if (alone(first)) return this.#line.splice(0, 1)
    const limit = this.#line.slice(0, n).findIndex(alone)
    return this.#line.splice(0, limit === -1 ? n : limit)
  }

  /** Puts entries that were taken back to the front, beyond the number of places if need be. */
  putBack(entries: readonly T[]): void {
    this.#line.unshift(...entries)
  }

  /** Frees the place of an entry. Nothing happens when it was taken already. */
  leave(entry: T): void {
    const at = this.#line.indexOf(entry)
    if (at !== -1) this.#line.splice(at, 1)
  }
}
