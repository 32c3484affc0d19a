/**
 * The trainer's end of the IPC channel: what it says, and the orders it has been given.
 *
 * Orders arrive when the event loop turns, which training lets happen between batches; steps ask
 * `control()` there and never see the channel itself.
 */

import type { Latency, VariantName } from '../contract/report.ts'
import type { FromTrainer, ToTrainer } from '../contract/trainer.ts'

/** What a step is to do next. */
export type Control = 'continue' | 'stop' | 'cancel' | 'checkpoint'

type Message<T extends ToTrainer['type']> = Extract<ToTrainer, { type: T }>
type LatencyAnswer = Message<'latency'> | Message<'latency-failed'>

export class TrainerChannel {
  #order: Control = 'continue'
  /** Monotonic milliseconds after which the job must stop. */
  #deadline = Number.POSITIVE_INFINITY
  #stopReason: 'stopped' | 'limit' | null = null
  #answered: ((answer: LatencyAnswer) => void) | undefined

  /** Sends one message; settles when it has been handed to the channel. */
  send(message: FromTrainer): Promise<void> {
    return new Promise((resolve, reject) => {
      process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve()))
    })
  }

  log(level: 'info' | 'warn' | 'error', message: string): void {
    void this.send({ type: 'log', level, message })
  }

  receive(message: ToTrainer): void {
    if (message.type === 'order') this.#obey(message.order)
    if (message.type === 'latency' || message.type === 'latency-failed') this.#answered?.(message)
  }

  limit(seconds: number | null): void {
    if (seconds !== null) this.#deadline = performance.now() + seconds * 1000
  }

  /** The order that holds now. A passed deadline is a stop; a cancel or checkpoint outranks a stop. */
  control(): Control {
    if (this.#order === 'continue' && performance.now() > this.#deadline) {
      this.#order = 'stop'
      this.#stopReason = 'limit'
    }
    return this.#order
  }

  /** Why training ended early, or null. */
  get stopReason(): 'stopped' | 'limit' | null {
    return this.#stopReason
  }

  /**
   * Has the api host time these files.
   * @throws Error with the supervisor's words when it could not be done.
   */
  async measureLatency(
    variants: readonly { readonly variant: VariantName; readonly file: string }[]
  ): Promise<Readonly<Record<string, Latency>>> {
    const answer = new Promise<LatencyAnswer>((resolve) => {
      this.#answered = resolve
    })
    await this.send({ type: 'measure', variants })
    const measured = await answer
    if (measured.type === 'latency') return measured.latencies
    throw new Error(`Cannot measure latency: ${measured.detail}`)
  }

  #obey(order: 'cancel' | 'stop' | 'checkpoint'): void {
    if (order === 'stop') {
      if (this.#order !== 'continue') return
      this.#stopReason = 'stopped'
    }
    this.#order = order
  }
}
