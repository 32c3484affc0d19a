/**
 * One model's traffic: its line of waiting images, its engines, what happens when one of them dies.
 *
 * An idle engine takes what waits, up to a batch, without delay. Images that were in a dying engine
 * are asked once more, each alone, so that one that kills engines takes no neighbour along.
 */
import { ServiceError } from '../errors.ts'
import { Admission } from './admission.ts'
import { type Engine, type EngineEnd, EngineEnded } from './engine.ts'
import type { EngineModel, Question, Verdict } from './messages.ts'

export interface LaneOptions {
  readonly places: number
  readonly maxBatch: number
  /** Engines of this model, at most. */
  readonly maxEngines: number
  readonly deadlineMs: number
  /** Asks for an engine; null when none is to be had now (`pump` is called when that may change). */
  readonly acquire: () => Engine | null
  /** Whether an engine that has just become free is needed more by another model. */
  readonly mustYield: () => boolean
  /** An engine of this model is free or gone. */
  readonly onFree: () => void
  readonly onEnd: (end: EngineEnd) => void
}

interface Entry {
  readonly question: Question
  readonly resolve: (verdict: Verdict) => void
  readonly reject: (error: Error) => void
  isRetry: boolean
}

/** After the second failure in a row restarts wait, doubling up to the longest. */
const [firstDelayMs, longestDelayMs] = [200, 10_000]
/** A file that cannot be loaded is tried again after so long. */
const brokenMs = 5000
/** A shorter wait is spent in the line, a longer one is told to the caller. */
const bearableMs = 1000

export class Lane {
  readonly model: EngineModel
  lastUsed = 0
  readonly #options: LaneOptions
  readonly #line: Admission<Entry>
  readonly #idle: Engine[] = []
  readonly #busy = new Set<Engine>()
  readonly #loading = new Set<Engine>()
  #failures = 0
  #resumeAt = 0
  #resumeTimer: NodeJS.Timeout | undefined
  /** Moving average of what one engine serves per second. */
  #perSecond = 0
  #loadFault: ServiceError | undefined
  #isClosed = false

  constructor(model: EngineModel, options: LaneOptions) {
    this.model = model
    this.#options = options
    this.#line = new Admission({ places: options.places })
  }

  get engines(): readonly Engine[] {
    return [...this.#idle, ...this.#busy, ...this.#loading]
  }

  get waiting(): number {
    return this.#line.waiting
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
   * Classifies the images of one request; a verdict for each, in order.
   *
   * @throws ServiceError QUEUE_FULL, MODEL_NOT_READY, DEADLINE_EXCEEDED, SHUTTING_DOWN;
   *   the signal's reason when it aborts.
   */
  async classify(questions: readonly Question[], signal: AbortSignal): Promise<Verdict[]> {
    signal.throwIfAborted()
    this.#refuseWhileDown()
    this.lastUsed = performance.now()
    const gone = Promise.withResolvers<never>()
    const asked = questions.map((question) => ask(question))
    const entries = asked.map(({ entry }) => entry)
    this.#line.admit(entries, this.#perSecond * Math.max(1, this.engines.length))
    const abort = () => gone.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const timer = setTimeout(() => gone.reject(this.#tooLate()), this.#options.deadlineMs)
    this.pump()
    try {
      return await Promise.race([Promise.all(asked.map(({ verdict }) => verdict)), gone.promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      for (const entry of entries) this.#line.leave(entry)
    }
  }

  /** Hands waiting images to idle engines and asks for more engines when all are busy. */
  pump(): void {
    if (this.#isClosed) return
    while (this.#line.waiting > 0) {
      const free = this.#idle.length
      const engine = this.#idle.pop()
      if (!engine) break
      const share = Math.ceil(this.#line.waiting / free)
      void this.#serve(engine, Math.min(share, this.#options.maxBatch))
    }
    const wanted = this.#line.waiting > 0 && this.#loading.size === 0
    if (!wanted || this.engines.length >= this.#options.maxEngines) return
    if (performance.now() < this.#resumeAt) return
    const engine = this.#options.acquire()
    if (engine) void this.#load(engine)
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
    this.#rejectWaiting(shuttingDown())
    for (const engine of this.engines) engine.kill()
  }

  async #load(engine: Engine): Promise<void> {
    this.#loading.add(engine)
    void engine.ended.then((end) => this.#ended(engine, end))
    try {
      await engine.load(this.model)
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
      const verdicts = await engine.classify(entries.map(({ question }) => question))
      for (const [i, entry] of entries.entries()) {
        const verdict = verdicts[i]
        if (verdict) entry.resolve(verdict)
      }
      this.#failures = 0
      const rate = (1000 * entries.length) / Math.max(0.01, performance.now() - startedAt)
      this.#perSecond = this.#perSecond === 0 ? rate : 0.9 * this.#perSecond + 0.1 * rate
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
      if (this.#options.mustYield()) engine.kill()
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
      if (!fresh.includes(entry)) entry.resolve(crashed)
    }
    this.#line.putBack(fresh)
  }

  #ended(engine: Engine, end: EngineEnd): void {
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

  #tooLate(): ServiceError {
    const seconds = this.#options.deadlineMs / 1000
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
      retryAfter: Math.max(1, Math.ceil(left / 1000))
    })
  }
}

function ask(question: Question): { entry: Entry; verdict: Promise<Verdict> } {
  const { promise, resolve, reject } = Promise.withResolvers<Verdict>()
  promise.catch(() => {}) // the first failure of a request answers it; the others have no listener
  return { entry: { question, resolve, reject, isRetry: false }, verdict: promise }
}

const crashed: Verdict = {
  code: 'ENGINE_CRASHED',
  detail: 'Cannot predict: the inference process ended twice over this image'
}

export function shuttingDown(): ServiceError {
  return new ServiceError('SHUTTING_DOWN', { detail: 'Cannot predict: the service is ending' })
}
