/**
 * The trainer's end of the IPC channel: what it says, and what it has been told.
 *
 * Messages arrive when the event loop turns, which training lets happen between batches. What a stop
 * means for a stage is `decisions.ts`; an order to end breaks off whatever waits for an answer here.
 */
import type { Decision } from '../contract/job.ts'
import type { Latency, VariantName } from '../contract/report.ts'
import type { FromTrainer, ToTrainer } from '../contract/trainer.ts'
import { type EndingOrder, Interrupted } from './orders.ts'

type Message<T extends ToTrainer['type']> = Extract<ToTrainer, { type: T }>
type LatencyAnswer = Message<'latency'> | Message<'latency-failed'>

export class TrainerChannel {
  readonly #post: (message: FromTrainer) => Promise<void>
  readonly #ended = new AbortController()
  #ending: EndingOrder | null = null
  #isStopped = false
  /** Monotonic milliseconds after which the job must stop. */
  #deadline = Number.POSITIVE_INFINITY
  #measured: ((answer: LatencyAnswer) => void) | undefined
  #stored: ((stage: string) => void) | undefined
  #onKept: ((message: Message<'checkpoint-kept'>) => void) | undefined

  /** `post` hands one message over and settles when that is done. */
  constructor(post: (message: FromTrainer) => Promise<void>) {
    this.#post = post
  }

  send(message: FromTrainer): Promise<void> {
    return this.#post(message)
  }

  log(level: 'info' | 'warn' | 'error', message: string): void {
    void this.send({ type: 'log', level, message })
  }

  receive(message: ToTrainer): void {
    if (message.type === 'order') this.#obey(message.order)
    if (message.type === 'latency' || message.type === 'latency-failed') this.#measured?.(message)
    if (message.type === 'decision-stored') this.#stored?.(message.stage)
    if (message.type === 'checkpoint-kept') this.#onKept?.(message)
  }

  /** Has the listener told of every checkpoint that has reached the api. */
  onCheckpointKept(listener: (message: Message<'checkpoint-kept'>) => void): void {
    this.#onKept = listener
  }

  limit(seconds: number | null): void {
    if (seconds !== null) this.#deadline = performance.now() + seconds * 1000
  }

  /** The order that ends the trainer, once there is one. */
  get ending(): EndingOrder | null {
    return this.#ending
  }

  /** Aborted together with `ending`, for what can be broken off. */
  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** Why training should end early, or null. A look at the clock: act on it through `Decisions` only. */
  get stopWanted(): Decision['reason'] | null {
    if (this.#isStopped) return 'stopped'
    return performance.now() > this.#deadline ? 'limit' : null
  }

  /** Has a decision stored. False when an order to end came first: then it must not be acted on. */
  async decide(decision: Decision): Promise<boolean> {
    const stored = new Promise<true>((resolve) => {
      this.#stored = (stage) => {
        if (stage === decision.stage) resolve(true)
      }
    })
    await this.send({ type: 'decision', decision })
    return (await this.#unlessEnded(stored)) ?? false
  }

  /**
   * Has the api host time these files.
   * @throws Interrupted when told to end meanwhile; Error with the supervisor's words when it could not
   *   be done.
   */
  async measureLatency(
    variants: readonly { readonly variant: VariantName; readonly file: string }[]
  ): Promise<Readonly<Record<string, Latency>>> {
    const answer = new Promise<LatencyAnswer>((resolve) => {
      this.#measured = resolve
    })
    await this.send({ type: 'measure', variants })
    const measured = await this.#unlessEnded(answer)
    if (measured === undefined) throw new Interrupted(this.#ending ?? 'cancel')
    if (measured.type === 'latency') return measured.latencies
    throw new Error(`Cannot measure latency: ${measured.detail}`)
  }

  /** A cancel outranks a checkpoint, and both outrank a stop. */
  #obey(order: 'cancel' | 'stop' | 'checkpoint'): void {
    if (order === 'stop') {
      this.#isStopped = true
      return
    }
    if (this.#ending !== 'cancel') this.#ending = order
    this.#ended.abort()
  }

  async #unlessEnded<T>(answer: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#ended
    if (signal.aborted) return undefined
    const { promise: ended, resolve } = Promise.withResolvers<undefined>()
    const onAbort = (): void => resolve(undefined)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([answer, ended])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
