/**
 * Bytes of request bodies that may be in memory at a time, over all requests.
 *
 * Each body is limited by itself; many at once are not, and their sum is what ends a process.
 */
import { ServiceError } from '../errors.ts'

export class ByteBudget {
  readonly #bytes: number
  #taken = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  get taken(): number {
    return this.#taken
  }

  /** @throws ServiceError QUEUE_FULL when they do not fit now. */
  take(bytes: number): void {
    if (this.#taken + bytes > this.#bytes) {
      throw new ServiceError('QUEUE_FULL', {
        detail: `Cannot read the request: the requests being answered hold ${this.#taken} bytes, at most ${this.#bytes} are allowed, received ${bytes} more`,
        retryAfter: 1
      })
    }
    this.#taken += bytes
  }

  giveBack(bytes: number): void {
    this.#taken -= bytes
  }
}
