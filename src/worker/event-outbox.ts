/**
 * Collects what a trainer tells and sends it in batches, in order.
 *
 * One batch is under way at a time; what comes meanwhile makes the next. A slow api therefore costs
 * fewer calls, not more memory than the events themselves.
 */
import type { JobEvent } from '../contract/internal.ts'

const largestBatch = 500

export class EventOutbox {
  readonly #send: (events: JobEvent[]) => Promise<void>
  #waiting: JobEvent[] = []
  #draining: Promise<void> | undefined

  constructor(send: (events: JobEvent[]) => Promise<void>) {
    this.#send = send
  }

  add(event: JobEvent): void {
    this.#waiting.push(event)
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined
    })
    // `close` reports the failure; until then it must not count as unhandled.
    this.#draining.catch(() => {})
  }

  /** Waits until everything is sent. @throws what sending threw. */
  async close(): Promise<void> {
    await this.#draining
    if (this.#waiting.length > 0) await this.#drain()
  }

  async #drain(): Promise<void> {
    // A turn of the loop lets what happens together travel together.
    await new Promise(setImmediate)
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, largestBatch)
      await this.#send(batch)
      this.#waiting.splice(0, batch.length)
    }
  }
}
