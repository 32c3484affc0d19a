/**
 * Collects what a trainer tells and sends it in batches, in order.
 *
 * One batch is under way at a time; what comes meanwhile makes the next. A slow api therefore costs
 * fewer calls, not more memory than the events themselves. A batch that may have been stored is sent again
 * as it was, under its number, so that the api knows it again.
 */
import type { EventBatch, JobEvent } from '../contract/internal.ts'

const largestBatch = 500

interface EventOutboxOptions {
  readonly send: (batch: EventBatch) => Promise<void>
  /** Told when a batch cannot be sent; `flush` throws the same. */
  readonly onFailure: (error: unknown) => void
}

export class EventOutbox {
  readonly #options: EventOutboxOptions
  #waiting: JobEvent[] = []
  #batch: EventBatch | undefined
  #batches = 0
  #draining: Promise<void> | undefined

  constructor(options: EventOutboxOptions) {
    this.#options = options
  }

  add(event: JobEvent): void {
    this.#waiting.push(event)
    if (this.#draining === undefined) this.#start().catch(this.#options.onFailure)
  }

  /** Waits until everything is stored. @throws what sending threw. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#draining !== undefined) await this.#start()
  }

  #start(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined
    })
    return this.#draining
  }

  async #drain(): Promise<void> {
    // A turn of the loop lets what happens together travel together.
    await new Promise(setImmediate)
    while (this.#waiting.length > 0) {
      this.#batch ??= { n: ++this.#batches, events: this.#waiting.slice(0, largestBatch) }
      const { events } = this.#batch
      await this.#options.send(this.#batch)
      this.#waiting.splice(0, events.length)
      this.#batch = undefined
    }
  }
}
