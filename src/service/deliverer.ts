/**
 * Sends the messages about jobs that have ended, until somebody takes them or a day has passed.
 *
 * What is due is in the catalogue, so a restart forgets nothing. In between there is one timer, set to
 * the time at which the next message becomes due, and none when nothing is waiting. A try that cannot be
 * made or written down is repeated after ever longer pauses, which end with the process.
 */
import type { BaseLogger } from 'pino'
import {
  type Conclusion,
  type DeliveryRow,
  nextDue,
  nextDueAt,
  settleDelivery
} from '../catalog/deliveries.ts'
import { jobTrace } from '../catalog/jobs.ts'
import type { Catalog } from '../catalog/open.ts'
import type { WebhookTargets } from '../contract/delivery.ts'
import { noTracing, type Span, type Tracing } from '../trace/tracing.ts'
import { retryDelayMs } from '../webhook/back-off.ts'
import type { Resolve } from '../webhook/resolve.ts'
import { sendWebhook, type WebhookAnswer } from '../webhook/send.ts'
import { Pauses } from './pauses.ts'

export interface DelivererOptions {
  readonly db: Catalog
  /** The bytes that messages are signed with. */
  readonly key: () => Promise<Uint8Array>
  readonly targets: WebhookTargets
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
  /** @default the system's resolver */
  readonly resolve?: Resolve
  /** @default the time of day */
  readonly now?: () => Date
  /** @default nothing is traced */
  readonly tracing?: Tracing
  /** Of one try. @default 15_000 */
  readonly timeoutMs?: number
}

/** Tries at a time; and those to one host, so that a slow one leaves room for others. */
const mostAtOnce = 16
const mostPerHost = 2
/** Longer timers would fire at once: https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
const longestTimerMs = 2 ** 31 - 1

export class Deliverer {
  readonly #options: DelivererOptions
  readonly #now: () => Date
  readonly #closing = new AbortController()
  /** What is being sent, by id. */
  readonly #running = new Map<string, { readonly host: string; readonly done: Promise<void> }>()
  /** Of messages whose try could not be made or written down. */
  readonly #pauses = new Pauses()
  #passes: Promise<void> = Promise.resolve()
  #passWaits = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: DelivererOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  /**
   * Has it look for messages that are due. To be called at start, and whenever a job may have ended.
   *
   * @param wanted a message that somebody asked for: its pause, if it has one, is over
   */
  wake(wanted?: string): void {
    if (wanted !== undefined) this.#pauses.forget(wanted)
    this.#look()
  }

  /** Breaks off what is being sent; it is sent again at the next start. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#timer)
    await this.#passes
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  /** One pass at a time; any number of calls while one waits are one more. */
  #look(): void {
    if (this.#passWaits || this.#closing.signal.aborted) return
    this.#passWaits = true
    this.#passes = this.#passes
      .then(() => {
        this.#passWaits = false
        return this.#pass()
      })
      .catch((error) => this.#options.log.error({ err: error }, 'webhooks postponed'))
  }

  async #pass(): Promise<void> {
    const { signal } = this.#closing
    clearTimeout(this.#timer)
    let now = this.#now()
    for (; !signal.aborted && this.#running.size < mostAtOnce; now = this.#now()) {
      const due = await nextDue(this.#options.db, {
        now,
        without: [...this.#running.keys(), ...this.#pauses.current(now.getTime())],
        busyHosts: this.#busyHosts()
      })
      if (due === undefined) break
      this.#start(due)
    }
    // Later than the very time that was looked at, so that nothing falls due between the two looks.
    const dueAt = (await nextDueAt(this.#options.db, now))?.getTime() ?? Number.POSITIVE_INFINITY
    const next = Math.min(dueAt, this.#pauses.nextEnd(now.getTime()))
    if (next === Number.POSITIVE_INFINITY || signal.aborted) return
    const waitMs = Math.min(next - this.#now().getTime(), longestTimerMs)
    this.#timer = setTimeout(() => this.#look(), Math.max(waitMs, 1)).unref()
  }

  #busyHosts(): string[] {
    const hosts = Map.groupBy(this.#running.values(), ({ host }) => host)
    return [...hosts].filter(([, sent]) => sent.length >= mostPerHost).map(([host]) => host)
  }

  #start(row: DeliveryRow): void {
    const done = this.#deliver(row)
      .then(() => this.#pauses.forget(row.id))
      .catch((error) => {
        const pauseMs = this.#pauses.begin(row.id, this.#now().getTime())
        this.#options.log.error({ err: error, deliveryId: row.id, pauseMs }, 'webhook postponed')
      })
      .finally(() => {
        this.#running.delete(row.id)
        this.#look()
      })
    this.#running.set(row.id, { host: row.host, done })
  }

  async #deliver({ id, job_id, url, host, payload }: DeliveryRow): Promise<void> {
    const { db, targets, resolve, timeoutMs, log } = this.#options
    const key = await this.#options.key()
    const { signal } = this.#closing
    const at = this.#now()
    const begun = performance.now()
    const message = { id, url, body: payload, key, at }
    const span = await this.#startSpan({ id, job_id, host })
    const answer = await sendWebhook({ ...message, targets, resolve, timeoutMs, signal })
    endSpan(span, answer)
    const durationMs = Math.round(performance.now() - begun)
    // Broken off by us, which says nothing about the receiver.
    if (signal.aborted && answer.status === null) return
    const error = answer.error ?? complaint(answer.status)
    await settleDelivery(db, id, { at, status: answer.status, error, durationMs }, (failures) =>
      conclude({ id, failures, answer }, this.#now())
    )
    // The path and the query of a URL often hold a token.
    const facts = { deliveryId: id, jobId: job_id, host, status: answer.status, durationMs }
    if (error === null) log.info(facts, 'webhook delivered')
    else log.warn({ ...facts, reason: error }, 'webhook not delivered')
  }

  async #startSpan({ id, job_id, host }: Pick<DeliveryRow, 'id' | 'job_id' | 'host'>) {
    const { db, tracing = noTracing } = this.#options
    const parent = tracing.isOn ? await jobTrace(db, job_id) : undefined
    const attributes = {
      'http.request.method': 'POST',
      'server.address': host,
      'whittle.delivery': id,
      'whittle.job': job_id
    }
    return tracing.start('deliver webhook', { kind: 'client', parent, attributes })
  }
}

/** The address is not told, for the sake of the tokens that it may hold. */
function endSpan(span: Span, { status, error }: WebhookAnswer): void {
  if (status !== null) span.set({ 'http.response.status_code': status })
  const reason = error ?? complaint(status)
  if (reason !== null) span.fail(status === null ? 'no_answer' : String(status), reason)
  span.end()
}

/** What an answer lacks to count as taken; null when it does. */
function complaint(status: number): string | null {
  if (isTaken(status)) return null
  if (status >= 300 && status < 400) return `answered ${status}: redirects are not followed`
  if (status === gone) return `answered ${status}: not tried again`
  return `answered ${status}`
}

const isTaken = (status: number): boolean => status >= 200 && status < 300

/** By 410 a receiver says that it wants no more (Standard Webhooks, "Delivery"). */
const gone = 410

interface Tried {
  readonly id: string
  /** Tries that failed before. */
  readonly failures: number
  readonly answer: WebhookAnswer
}

function conclude({ id, failures, answer }: Tried, now: Date): Conclusion {
  if (answer.status !== null && isTaken(answer.status)) return { state: 'delivered', nextAt: null }
  const delayMs = answer.status === gone ? null : retryDelayMs(id, failures + 1)
  if (delayMs === null) return { state: 'failed', nextAt: null }
  return { state: 'pending', nextAt: new Date(now.getTime() + delayMs) }
}
