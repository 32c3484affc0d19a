/**
 * Bytes of request bodies that may be in memory at a time, over all requests.
 *
 * Each body is limited by itself; many at once are not, and their sum is what ends a process.
 */
import { ServiceError } from '../errors.ts'

/** What one request holds of the budget. */
export interface Holding {
  /** @throws ServiceError QUEUE_FULL when so many more bytes do not fit now. */
  take(bytes: number): void
  /** Gives back all that was taken, and takes no more. Idempotent. */
  release(): void
}

export class ByteBudget {
  readonly #bytes: number
  #taken = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  get taken(): number {
    return this.#taken
  }

  /** Bytes are taken as they arrive: what is only announced would let the silent shut out the rest. */
  open(): Holding {
    let held = 0
    let isOpen = true
    return {
      take: (bytes) => {
        if (!isOpen) return // a reader that was given up on may still be running
        if (this.#taken + bytes > this.#bytes) throw this.#full()
        this.#taken += bytes
        held += bytes
      },
      release: () => {
        this.#taken -= held
        held = 0
        isOpen = false
      }
    }
  }

  #full(): ServiceError {
    return new ServiceError('QUEUE_FULL', {
      detail: `Cannot read the request: at most ${this.#bytes} bytes of requests are held at a time, ${this.#taken} are`,
      retryAfter: 1
    })
  }
}
