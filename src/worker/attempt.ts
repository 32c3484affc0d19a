/**
 * One attempt at a job, from its claim to its outcome: fetches what a trainer needs, keeps one at work,
 * and stays in touch with the api.
 *
 * It decides nothing about the job's fate. It reports an outcome; the catalogue counts attempts and
 * decides. Once the api says that another attempt has taken over, it ends its trainer and says nothing.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Orders, Outcome } from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import { DamagedDataset } from '../dataset/damaged-dataset.ts'
import { noTracing, type Span, type Tracing } from '../trace/tracing.ts'
import { ApiRefusal, BrokenOff, isStale } from './api-call.ts'
import type { ApiClient, AttemptClient } from './api-client.ts'
import { type CachedDataset, fetchDataset } from './dataset-cache.ts'
import { EventOutbox } from './event-outbox.ts'
import { fetchModels } from './fetch-models.ts'
import { Heartbeat } from './heartbeat.ts'
import { insteadOf, type Ordered, troubleOf } from './outcome.ts'
import { PutOff } from './put-off.ts'
import { openScratch } from './scratch.ts'
import { type LogLevel, Training, type TrainingOptions } from './training.ts'

export interface AttemptOptions {
  readonly api: ApiClient
  readonly log: Logger
  /** host-pid: who says so in the job's log. */
  readonly worker: string
  /** Holds `datasets/`, `packs/` and one scratch folder per attempt. */
  readonly cacheDir: string
  /** Bytes that datasets and packs may take together. @default Infinity */
  readonly cacheBytes?: number
  readonly engine: string
  readonly threads: number
  /** @default nothing is traced */
  readonly tracing?: Tracing
  /** How often a running attempt asks for orders and looks at what it takes. @default 2000 */
  readonly heartbeatMs?: number
  /** How long a trainer may take to write a checkpoint before it is terminated. @default 10_000 */
  readonly trainerMs?: number
  /** How long the last checkpoint of a released attempt may take to be stored. @default 3000 */
  readonly reportMs?: number
}

const heartbeatDefaultMs = 2000
const trainerDefaultMs = 10_000
const reportDefaultMs = 3000
/** For the outcome of a released attempt, after its last transfer. */
const farewellMs = 1000
/** For a trainer whose work nobody wants. */
const unwantedMs = 1000
const longestLine = 10_000
const longestCrash = 4000

export class Attempt {
  readonly #options: AttemptOptions
  /** Another attempt has taken over, or nobody listens any more: nothing is said from then on. */
  readonly #abandoned = new AbortController()
  /** The job ends or goes on elsewhere: nothing more is fetched. */
  readonly #ending = new AbortController()
  /** The time for transfers is over. */
  readonly #late = new AbortController()
  readonly #tracing: Tracing
  #log: Logger
  #heartbeat: Heartbeat | undefined
  #outbox: EventOutbox | undefined
  #training: Training | undefined
  #ordered: Ordered | undefined
  #trouble: { readonly error: unknown } | undefined

  constructor(options: AttemptOptions) {
    this.#options = options
    this.#log = options.log
    this.#tracing = options.tracing ?? noTracing
  }

  /** Runs one dispatch to its end. Never throws. */
  async run(job: string, dispatch: number): Promise<void> {
    const { api, worker } = this.#options
    this.#log = this.#options.log.child({ jobId: job, dispatch })
    const since = performance.now()
    try {
      // A claim under way is not broken off at once: it may have been granted, and is then given back.
      const assignment = await api.claim(job, { dispatch, worker }, this.#late.signal)
      if (assignment === undefined) {
        this.#log.info('dispatch is not wanted any more')
        return
      }
      this.#log = this.#log.child({ attempt: assignment.attempt })
      await this.#traced(assignment, since)
    } catch (error) {
      if (isStale(error)) this.#abandon('another attempt has taken over')
      else if (!this.#ending.signal.aborted) {
        this.#log.error({ err: error }, 'attempt ended without an outcome')
      }
    }
  }

  /** Ends the attempt with a checkpoint; the job goes on elsewhere or later. */
  release(): void {
    const { trainerMs = trainerDefaultMs, reportMs = reportDefaultMs } = this.#options
    this.#ordered ??= 'released'
    this.#ending.abort(new Error('the worker is ending'))
    void Promise.resolve(this.#training?.end('checkpoint', trainerMs)).then(() => {
      setTimeout(() => this.#late.abort(new Error('the worker is ending')), reportMs).unref()
      setTimeout(() => this.#abandon('the api does not answer'), reportMs + farewellMs).unref()
    })
  }

  /**
   * Asks the api whether this attempt still holds its job: another may have been handed out.
   * Nobody having answered says nothing, and the attempt goes on.
   */
  async confirm(): Promise<boolean> {
    const isHeld = (await this.#heartbeat?.confirm()) ?? true
    // Another call may have been told meanwhile, which breaks the question off unanswered.
    return isHeld && !this.#abandoned.signal.aborted
  }

  #abandon(reason: string): void {
    if (this.#abandoned.signal.aborted) return
    this.#log.warn({ reason }, 'attempt abandoned')
    this.#abandoned.abort(new Error(reason))
    this.#ending.abort(new Error(reason))
    void this.#training?.end('cancel', unwantedMs)
  }

  /** Everything that the attempt does, here and at the api, is part of its span. */
  async #traced(assignment: Assignment, since: number): Promise<void> {
    const { job, attempt, dataset, model } = assignment
    const span = this.#tracing.start('attempt', {
      kind: 'consumer',
      parent: assignment.trace,
      since,
      attributes: {
        'whittle.job': job,
        'whittle.attempt': attempt,
        'whittle.model': model,
        'whittle.dataset': `${dataset.name}@${dataset.version}`
      }
    })
    const { context, traceId } = span
    if (traceId !== undefined) this.#log = this.#log.child({ traceId })
    try {
      await this.#carryOut(context ? { ...assignment, trace: context } : assignment, span)
    } finally {
      if (this.#abandoned.signal.aborted) span.fail('abandoned')
      span.end()
    }
  }

  async #carryOut(assignment: Assignment, span: Span): Promise<void> {
    const { api, heartbeatMs = heartbeatDefaultMs } = this.#options
    const client = api.attempt(assignment, this.#abandoned.signal)
    const outbox = new EventOutbox({
      send: (batch) => client.sendEvents(batch),
      onFailure: (error) => this.#fail(error)
    })
    this.#outbox = outbox
    this.#heartbeat = new Heartbeat({
      everyMs: heartbeatMs,
      send: () => client.heartbeat({ progress: this.#training?.progress ?? 0 }),
      onOrder: (order) => this.#obey(order),
      onStale: () => this.#abandon('another attempt has taken over'),
      onMissed: (error) => {
        if (!this.#abandoned.signal.aborted) this.#log.warn({ err: error }, 'heartbeat missed')
      }
    })
    try {
      const working = this.#work(assignment, outbox)
      const outcome = await working.catch((error) => this.#afterTrouble(error))
      tell(span, outcome)
      if (!this.#abandoned.signal.aborted) await this.#report(client, { outbox, outcome })
    } finally {
      this.#heartbeat.stop()
    }
  }

  /** From the assignment to the outcome. What it throws did not come from the trainer. */
  async #work(assignment: Assignment, outbox: EventOutbox): Promise<Outcome> {
    const { api, cacheDir, cacheBytes = Number.POSITIVE_INFINITY } = this.#options
    const { signal } = this.#ending
    const claimedAt = performance.now()
    const scratch = await openScratch(cacheDir, assignment.job)
    const fetching = this.#tracing.start('fetch', { parent: assignment.trace })
    try {
      const dataset = await fetchDataset(api, assignment, { cacheDir, cacheBytes, signal })
      try {
        await this.#fetchCheckpoints(assignment, scratch.folder)
        if (assignment.kind === 'evaluate') {
          await fetchModels(api.attempt(assignment, signal), assignment, scratch.folder)
        }
        signal.throwIfAborted()
        fetching.end()
        const packs = join(cacheDir, 'packs')
        const paths = { scratch: scratch.folder, dataset: dataset.folder, packs }
        return await this.#train({ assignment, claimedAt, outbox, paths })
      } catch (error) {
        throw error instanceof DamagedDataset ? await this.#dropped(dataset, error) : error
      } finally {
        dataset.release()
      }
    } finally {
      fetching.end()
      await scratch.remove()
    }
  }

  /** One that the api cannot give is passed over, like one that is damaged: the trainer takes the next. */
  async #fetchCheckpoints(assignment: Assignment, folder: string): Promise<void> {
    const client = this.#options.api.attempt(assignment, this.#ending.signal)
    for (const { name } of assignment.checkpoints) {
      try {
        await client.getCheckpoint(name, join(folder, name))
      } catch (error) {
        const isGone = error instanceof ApiRefusal && error.status < 500 && !isStale(error)
        if (!isGone && !(error instanceof BrokenOff)) throw error
        this.#note('warn', `checkpoint ${name} cannot be fetched: ${error}`)
        await rm(join(folder, name), { force: true })
      }
    }
  }

  /** A copy that was damaged here is fetched again. One that has just come is a crash: it may stay so. */
  async #dropped({ isFresh, drop }: CachedDataset, damage: DamagedDataset): Promise<Error> {
    await drop()
    if (isFresh) return damage
    return new PutOff(`the worker's copy of the dataset was damaged: ${damage.message}`)
  }

  async #train(
    start: Pick<TrainingOptions, 'assignment' | 'claimedAt' | 'outbox' | 'paths'>
  ): Promise<Outcome> {
    const { api, engine, threads, heartbeatMs = heartbeatDefaultMs } = this.#options
    const signal = AbortSignal.any([this.#abandoned.signal, this.#late.signal])
    const training = new Training({
      ...start,
      tracing: this.#tracing,
      engine,
      threads,
      watchMs: heartbeatMs,
      client: api.attempt(start.assignment, signal),
      note: (level, message) => this.#note(level, message),
      onFailure: (error) => this.#fail(error)
    })
    this.#training = training
    if (training.pid > 0) this.#log.info({ trainer: training.pid }, 'trainer started')
    try {
      const outcome = await training.outcome(() => this.#ordered)
      if (this.#trouble !== undefined) throw this.#trouble.error
      return outcome
    } finally {
      // Before anything that either of them reads is removed.
      this.#late.abort(new Error('the attempt is over'))
      await training.end('cancel', unwantedMs)
    }
  }

  #obey(order: Orders['order']): void {
    if (order === 'stop') this.#training?.stop()
    if (order !== 'cancel' || this.#ordered !== undefined) return
    this.#ordered = 'cancelled'
    this.#ending.abort(new Error('the job was cancelled'))
    void this.#training?.end('cancel', this.#options.trainerMs ?? trainerDefaultMs)
  }

  /** Something around the trainer failed: it is ended, and `#work` throws. */
  #fail(error: unknown): void {
    if (isStale(error)) this.#abandon('another attempt has taken over')
    this.#trouble ??= { error }
    void this.#training?.end('cancel', unwantedMs)
  }

  #afterTrouble(error: unknown): Outcome {
    if (isStale(error)) this.#abandon('another attempt has taken over')
    // What was ordered has broken off what was under way.
    if (this.#ordered !== undefined) return { kind: this.#ordered }
    return troubleOf(error, this.#training?.progressed ?? false)
  }

  /** Says in the job's own log that it crashed, as it happens, and reports. */
  async #report(
    client: AttemptClient,
    { outbox, outcome }: { readonly outbox: EventOutbox; readonly outcome: Outcome }
  ): Promise<void> {
    if (outcome.kind === 'crashed') {
      this.#note('error', `crashed (${outcome.cause}): ${outcome.detail}`.slice(0, longestCrash))
    }
    const told = outbox.flush().then(() => outcome)
    await this.#send(client, await told.catch((error) => this.#afterTrouble(error)))
  }

  /** An outcome that is refused is not kept to itself: the job would be taken for lost, again and again. */
  async #send(client: AttemptClient, outcome: Outcome): Promise<void> {
    try {
      await client.sendOutcome(outcome)
    } catch (error) {
      const instead = insteadOf(outcome, error)
      if (instead === undefined) throw error
      this.#log.error({ err: error, outcome: outcome.kind }, 'outcome refused')
      await client.sendOutcome(instead)
    }
  }

  #note(level: LogLevel, message: string): void {
    this.#log[level](message)
    const at = new Date().toISOString()
    this.#outbox?.add({ type: 'log', at, level, message: message.slice(0, longestLine) })
  }
}

function tell(span: Span, outcome: Outcome): void {
  span.set({ 'whittle.outcome': outcome.kind })
  if (outcome.kind === 'failed') span.fail(outcome.code, outcome.detail)
  if (outcome.kind === 'crashed') span.fail(`crashed_${outcome.cause}`)
}
