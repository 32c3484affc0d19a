/**
 * The signs of life of one attempt, and the orders that come back.
 *
 * A missed beat is followed by the next; the api alone says whether the attempt still holds its job.
 */
import type { Orders } from '../contract/internal.ts'
import { isStale } from './api-call.ts'

interface HeartbeatOptions {
  readonly everyMs: number
  readonly send: () => Promise<Orders>
  readonly onOrder: (order: Orders['order']) => void
  /** Another attempt has taken over, or the job has ended. */
  readonly onStale: () => void
  readonly onMissed: (error: unknown) => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #timer: NodeJS.Timeout
  #beating: Promise<boolean> | undefined

  /** Beats at once, then regularly. */
  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#once(), options.everyMs)
    void this.#once()
  }

  /** A beat that begins now. False when the attempt has been superseded; true also when nobody answers. */
  async confirm(): Promise<boolean> {
    await this.#beating
    return this.#once()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #once(): Promise<boolean> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  async #beat(): Promise<boolean> {
    const { send, onOrder, onStale, onMissed } = this.#options
    try {
      const { order } = await send()
      onOrder(order)
      return true
    } catch (error) {
      if (!isStale(error)) {
        onMissed(error)
        return true
      }
      onStale()
      return false
    }
  }
}
