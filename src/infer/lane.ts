/**
 * One model's traffic: its line of waiting images, its engines, what happens when one of them dies.
 *
 * An idle engine takes what waits, up to a batch, without delay. Images that were in a dying engine
 * are asked once more, each alone, so that one that kills engines takes no neighbour along; it is refused
 * from then on.
 */
import type { Seen } from '../contract/sketch.ts'
import type { TraceContext } from '../contract/trace.ts'
import { ServiceError } from '../errors.ts'
import { Admission } from './admission.ts'
import { type AskedRun, type BatchRun, distinctRuns } from './batch-run.ts'
import { type Engine, type EngineEnd, EngineEnded } from './engine.ts'
import type { EngineModel, Question, Verdict } from './messages.ts'
import { Poison } from './poison.ts'
import type { Statistics } from './statistics.ts'

export interface LaneOptions {
  readonly places: number
  readonly maxBatch: number
  /** How long an image may wait for others while an engine is idle. */
  readonly maxDelayMs: number
  /** Engines of this model, at most. */
  readonly maxEngines: number
  readonly deadlineMs: number
  readonly statistics: Statistics
  /** Asks for an engine; null when none is to be had now (`pump` is called when that may change). */
  readonly acquire: () => Engine | null
  /** Whether an engine that has just become free is needed more by another model. */
  readonly mustYield: () => boolean
  /** An engine of this model is free or gone. */
  readonly onFree: () => void
  readonly onEnd: (end: EngineEnd) => void
  /** Told of every image that was answered. */
  readonly onSeen: (seen: readonly Seen[]) => void
  /** An image has ended two engines; it will be refused from now on. */
  readonly onPoison: (sha256: string) => void
}

/** How a request is to be treated. */
export interface AskOptions {
  readonly signal: AbortSignal
  /** 1 goes before 2 and that before 3. @default 2 */
  readonly priority?: Priority
  /** Who asks: callers take turns before a model. @default all who do not say are one */
  readonly caller?: string | undefined
  /** Milliseconds; the pool's own deadline holds as well. @default Infinity */
  readonly deadlineMs?: number
  /** Of whoever asks: then the answer tells of the runs. @default none */
  readonly trace?: TraceContext | undefined
}

export type Priority = 1 | 2 | 3

export interface Answer {
  /** One for each image, in order. */
  readonly verdicts: readonly Verdict[]
  /** One for each image, in order; null where it was refused. */
  readonly seen: readonly (Seen | null)[]
  /** The largest batch that one of the images was part of. */
  readonly batch: number
  /** How long the image that waited for longest had waited for an engine. */
  readonly queueMs: number
  /** Empty unless a trace was given. */
  readonly runs: readonly AskedRun[]
}

interface Entry {
  readonly question: Question
  readonly priority: Priority
  readonly caller: string
  readonly trace: TraceContext | undefined
  readonly since: number
  readonly resolve: (served: Served) => void
  readonly reject: (error: Error) => void
  isRetry: boolean
}

interface Served {
  readonly verdict: Verdict
  readonly seen: Seen | null
  readonly batch: number
  readonly queueMs: number
  readonly since: number
  readonly run?: BatchRun
}

/** After the second failure in a row restarts wait, doubling up to the longest. */
const [firstDelayMs, longestDelayMs] = [200, 10_000]
/** A file that cannot be loaded is tried again after so long. */
const brokenMs = 5000
/** A shorter wait is spent in the line, a longer one is told to the caller. */
const bearableMs = 1000
/** A batch that takes no longer is always worth it: asking an engine costs a tenth of it. */
const shortBatchMs = 2

export class Lane {
  readonly model: EngineModel
  lastUsed = 0
  readonly #options: LaneOptions
  readonly #line: Admission<Entry>
  readonly #idle: Engine[] = []
  readonly #busy = new Set<Engine>()
  readonly #loading = new Set<Engine>()
  /** Of the engine that was last begun to be loaded; never rejects. */
  #lastLoad: Promise<void> = Promise.resolve()
  #failures = 0
  #resumeAt = 0
  #resumeTimer: NodeJS.Timeout | undefined
  #fillTimer: NodeJS.Timeout | undefined
  readonly #poison = new Poison()
  /** How the last engine that ended unasked did. */
  #lastExit: string | null = null
  /** Moving average of what one engine serves per second. */
  #perSecond = 0
  /** Moving average of what an image takes in an engine. */
  #imageMs = 0
  #loadFault: ServiceError | undefined
  #isClosed = false
  #isRetired = false

  constructor(model: EngineModel, options: LaneOptions) {
    this.model = model
    this.#options = options
    this.#line = new Admission({
      places: options.places,
      rank: ({ priority }) => priority,
      caller: ({ caller }) => caller
    })
  }

  get engines(): readonly Engine[] {
    return [...this.#idle, ...this.#busy, ...this.#loading]
  }

  get waiting(): number {
    return this.#line.waiting
  }

  get lastExit(): string | null {
    return this.#lastExit
  }

  get isIdle(): boolean {
    return this.#line.waiting === 0 && this.#busy.size === 0 && this.#loading.size === 0
  }

  /** Nothing would be lost with it, not even the memory of failures. */
  get isForgettable(): boolean {
    return this.isIdle && this.#idle.length === 0 && performance.now() >= this.#resumeAt
  }

  /** Wants an engine and has none: goes first when one becomes free. */
  get isStarved(): boolean {
    return (
      this.#line.waiting > 0 && this.engines.length === 0 && performance.now() >= this.#resumeAt
    )
  }

  /**
   * Classifies the images of one request.
   *
   * @throws ServiceError QUEUE_FULL, MODEL_NOT_READY, DEADLINE_EXCEEDED, SHUTTING_DOWN;
   *   the signal's reason when it aborts.
   */
  async ask(questions: readonly Question[], options: AskOptions): Promise<Answer> {
    const began = performance.now()
    const done = (outcome: 'success' | 'fail'): void =>
      this.#options.statistics.requestDone(this.model, { outcome, ms: performance.now() - began })
    try {
      const served = await this.#ask(questions, options)
      done('success')
      return {
        verdicts: served.map(({ verdict }) => verdict),
        seen: served.map(({ seen }) => seen),
        batch: Math.max(...served.map(({ batch }) => batch)),
        queueMs: Math.max(...served.map(({ queueMs }) => queueMs)),
        runs: options.trace === undefined ? [] : distinctRuns(served)
      }
    } catch (error) {
      done('fail')
      throw error
    }
  }

  async #ask(
    questions: readonly Question[],
    { signal, priority = 2, caller = '', deadlineMs = Number.POSITIVE_INFINITY, trace }: AskOptions
  ): Promise<Served[]> {
    signal.throwIfAborted()
    this.#refuseWhileDown()
    this.lastUsed = performance.now()
    const gone = Promise.withResolvers<never>()
    const asked = questions.map((question) => ask(question, { priority, caller, trace }))
    const entries = asked.map(({ entry }) => entry).filter((entry) => !this.#refusePoison(entry))
    this.#line.admit(entries, this.#perSecond * Math.max(1, this.engines.length))
    const abort = () => gone.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const within = Math.min(deadlineMs, this.#options.deadlineMs)
    const timer = setTimeout(() => gone.reject(this.#tooLate(within)), within)
    this.pump()
    try {
      return await Promise.race([Promise.all(asked.map(({ served }) => served)), gone.promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      for (const entry of entries) this.#line.leave(entry)
    }
  }

  /** Hands waiting images to idle engines and asks for more engines when all are busy. */
  pump(): void {
    if (this.#isClosed) return
    while (this.#line.waiting > 0 && !this.#waitsForMore()) {
      const free = this.#idle.length
      const engine = this.#idle.pop()
      if (!engine) break
      const share = Math.ceil(this.#line.waiting / free)
      void this.#serve(engine, Math.min(share, this.#batchSize))
    }
    const wanted = this.#line.waiting > 0 && this.#loading.size === 0
    if (!wanted || this.engines.length >= this.#options.maxEngines) return
    if (performance.now() < this.#resumeAt) return
    const engine = this.#options.acquire()
    if (engine) this.#lastLoad = this.#load(engine)
  }

  /**
   * Has an engine ready that holds the model.
   *
   * @throws ServiceError MODEL_NOT_READY when there is none to be had, or the file cannot be loaded
   */
  async load(): Promise<void> {
    // What is about to be asked is not the first to go when others need room.
    this.lastUsed = performance.now()
    if (this.#idle.length + this.#busy.size > 0) return
    if (this.#loading.size === 0) {
      const engine = this.#options.acquire()
      if (engine) this.#lastLoad = this.#load(engine)
    }
    await this.#lastLoad
    if (this.engines.length === 0) throw this.#notReady('Cannot load the model: no engine is free')
  }

  /** Answers what waits and ends; takes nothing new. Settles when its engines have ended. */
  async retire(): Promise<void> {
    this.#isRetired = true
    const engines = this.engines
    for (const engine of this.#idle) engine.kill()
    await Promise.all(engines.map((engine) => engine.ended))
  }

  /** Gives up one idle engine, if there is one, and ends it. */
  yieldEngine(): Engine | undefined {
    const engine = this.#idle.pop()
    engine?.kill()
    return engine
  }

  /** Refuses what waits and ends the engines. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#resumeTimer)
    clearTimeout(this.#fillTimer)
    this.#rejectWaiting(shuttingDown())
    for (const engine of this.engines) engine.kill()
  }

  /**
   * Images that the next batch takes: half of an engine's part of the line (guided self-scheduling,
   * Polychronopoulos and Kuck 1987), or all that come together in a short while. All of a batch are answered
   * when its last one is, so a batch is small while the line is short; a long line is worked off in large ones.
   */
  get #batchSize(): number {
    const { maxBatch, maxDelayMs } = this.#options
    if (maxDelayMs > 0 || this.#imageMs === 0) return maxBatch
    const part = Math.ceil(this.#line.waiting / (2 * this.engines.length))
    const short = Math.floor(shortBatchMs / this.#imageMs)
    return Math.max(1, Math.min(maxBatch, Math.max(part, short)))
  }

  /** Whether the batch may still fill: it is not full, and its oldest image has not waited long enough. */
  #waitsForMore(): boolean {
    const { maxDelayMs } = this.#options
    if (maxDelayMs === 0 || this.#line.waiting >= this.#batchSize) return false
    const oldest = Math.min(...this.#line.line.map(({ since }) => since))
    const leftMs = oldest + maxDelayMs - performance.now()
    if (leftMs <= 0) return false
    clearTimeout(this.#fillTimer)
    this.#fillTimer = setTimeout(() => this.pump(), Math.ceil(leftMs))
    return true
  }

  async #load(engine: Engine): Promise<void> {
    this.#loading.add(engine)
    void engine.ended.then((end) => this.#ended(engine, end))
    try {
      await engine.load(this.model, this.#options.maxBatch)
      this.#loadFault = undefined
    } catch (error) {
      engine.kill()
      if (error instanceof ServiceError) this.#refuseAll(error)
      else this.#failed()
    }
    this.#loading.delete(engine)
    this.#free(engine)
  }

  async #serve(engine: Engine, size: number): Promise<void> {
    const entries = this.#line.take(size, (entry) => entry.isRetry)
    this.#busy.add(engine)
    const startedAt = performance.now()
    try {
      const { verdicts, seen, times } = await engine.classify(
        entries.map(({ question }) => question)
      )
      const queued = entries.map(({ since }) => startedAt - since)
      this.#options.statistics.batchDone(this.model, queued, times)
      const size = entries.length
      const askers = distinctAskers(entries)
      const run = { since: startedAt, until: performance.now(), size, times, askers }
      for (const [i, { since, resolve }] of entries.entries()) {
        const verdict = verdicts[i]
        const own = { seen: seen[i] ?? null, batch: size, queueMs: queued[i] ?? 0, since, run }
        if (verdict) resolve({ verdict, ...own })
      }
      this.#options.onSeen(seen.filter((one) => one !== null))
      this.#failures = 0
      const rate = (1000 * entries.length) / Math.max(0.01, performance.now() - startedAt)
      this.#perSecond = averaged(this.#perSecond, rate)
      const tookMs = times.inputMs + times.inferMs + times.outputMs
      this.#imageMs = averaged(this.#imageMs, tookMs / entries.length)
    } catch (error) {
      if (!(error instanceof EngineEnded)) throw error
      this.#failed()
      this.#retry(entries)
    }
    this.#busy.delete(engine)
    this.#free(engine)
  }

  /** After loading or a batch: the engine rests, goes on, or makes room for another model's. */
  #free(engine: Engine): void {
    if (engine.isUsable) {
      const isUnneeded = this.#isRetired && this.#line.waiting === 0
      if (isUnneeded || this.#options.mustYield()) engine.kill()
      else this.#idle.push(engine)
    }
    this.pump()
    this.#options.onFree()
  }

  #retry(entries: readonly Entry[]): void {
    if (this.#isClosed) {
      for (const entry of entries) entry.reject(shuttingDown())
      return
    }
    const fresh = entries.filter(({ isRetry }) => !isRetry)
    for (const entry of fresh) entry.isRetry = true
    for (const entry of entries) {
      if (!fresh.includes(entry)) this.#poisoned(entry)
    }
    this.#line.putBack(fresh)
  }

  /** An image was alone in an engine that ended, for the second time. */
  #poisoned({ question, resolve }: Entry): void {
    this.#options.onPoison(this.#poison.add(question))
    resolve(crashed)
  }

  #refusePoison({ question, resolve }: Entry): boolean {
    if (!this.#poison.has(question)) return false
    resolve({ ...crashed, verdict: { ...crashed.verdict, isKnown: true } })
    return true
  }

  #ended(engine: Engine, end: EngineEnd): void {
    if (!end.asked) this.#lastExit = end.how
    const at = this.#idle.indexOf(engine)
    if (at !== -1) this.#idle.splice(at, 1)
    this.#options.onEnd(end)
    this.pump()
  }

  #failed(): void {
    this.#failures += 1
    if (this.#failures < 2) return
    this.#pause(Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#failures - 2)))
  }

  #pause(delayMs: number): void {
    this.#resumeAt = performance.now() + delayMs
    clearTimeout(this.#resumeTimer)
    this.#resumeTimer = setTimeout(() => this.pump(), delayMs + 1)
    this.#resumeTimer.unref()
  }

  /** A file that cannot be loaded now will not be loaded by waiting for it. */
  #refuseAll(fault: ServiceError): void {
    this.#loadFault = fault
    this.#pause(brokenMs)
    this.#rejectWaiting(this.#notReady(fault.detail))
  }

  #rejectWaiting(error: ServiceError): void {
    for (const entry of this.#line.take(this.#line.waiting, () => false)) entry.reject(error)
  }

  #refuseWhileDown(): void {
    const left = this.#resumeAt - performance.now()
    if (this.#isClosed) throw shuttingDown()
    if (this.engines.length > 0 || left < bearableMs) return
    throw this.#notReady('Cannot predict: the engine of the model is restarting')
  }

  #tooLate(afterMs: number): ServiceError {
    const seconds = afterMs / 1000
    if (this.#idle.length + this.#busy.size === 0) {
      return this.#notReady(`Cannot predict: no engine was ready within ${seconds} s`)
    }
    const detail = `Cannot answer in time: the deadline is ${seconds} s`
    return new ServiceError('DEADLINE_EXCEEDED', { detail })
  }

  #notReady(reason: string): ServiceError {
    const left = this.#resumeAt - performance.now()
    return new ServiceError('MODEL_NOT_READY', {
      detail: this.#loadFault?.detail ?? reason,
      isCrowdedOut: this.engines.length + this.#failures === 0 && this.#loadFault === undefined,
      retryAfter: Math.max(1, Math.ceil(left / 1000))
    })
  }
}

function distinctAskers(entries: readonly Entry[]): TraceContext[] {
  // Most have none. Those of one request are one object.
  return [...new Set(entries.map(({ trace }) => trace))].filter((trace) => trace !== undefined)
}

function ask(
  question: Question,
  options: Pick<Entry, 'priority' | 'caller' | 'trace'>
): { entry: Entry; served: Promise<Served> } {
  const { promise, resolve, reject } = Promise.withResolvers<Served>()
  promise.catch(() => {}) // the first failure of a request answers it; the others have no listener
  const since = performance.now()
  const entry = { question, ...options, since, resolve, reject, isRetry: false }
  return { entry, served: promise }
}

const crashed = {
  verdict: {
    code: 'ENGINE_CRASHED',
    detail: 'Cannot predict: the inference process ended twice over this image'
  },
  seen: null,
  batch: 1,
  queueMs: 0,
  since: 0
} as const satisfies Served

/** An exponential moving average, begun with the first value. */
const averaged = (before: number, now: number): number =>
  before === 0 ? now : 0.9 * before + 0.1 * now

export function shuttingDown(): ServiceError {
  return new ServiceError('SHUTTING_DOWN', { detail: 'Cannot predict: the service is ending' })
}
