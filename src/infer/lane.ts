/**
 * One model's traffic: its line of waiting images, and its engines, which are handed what waits in batches.
 *
 * An idle engine takes what waits, up to a batch, without delay; a busy one is sent its next batch ahead where
 * images are fast, so that it need not wait for the way here and back. Images that were in a dying engine
 * are asked once more, each alone, so that one that kills engines takes no neighbour along; it is refused
 * from then on. When engines may be started again is `availability.ts`'s to say.
 */
import type { Seen } from '../contract/sketch.ts'
import { ServiceError } from '../errors.ts'
import { Admission } from './admission.ts'
import { Availability } from './availability.ts'
import { type BatchRules, batchSize, isFilled } from './batch-size.ts'
import { Crew } from './crew.ts'
import { type Engine, type EngineEnd, EngineEnded } from './engine.ts'
import type { EngineModel, Question } from './messages.ts'
import { Pace } from './pace.ts'
import { Poison } from './poison.ts'
import {
  type Answer,
  type AskOptions,
  answerOf,
  distinctAskers,
  type Entry,
  entryFor,
  type Served
} from './request.ts'
import type { Statistics } from './statistics.ts'

export interface LaneOptions extends BatchRules {
  readonly places: number
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

/** How long a model keeps an engine that it has loaded, though others wait for one: or loading is all they do. */
const sliceMs = 1000
/**
 * What an image may take for the next ones to be sent ahead: always, or where more wait than engines are there.
 * The way to an engine takes half a millisecond; an image that waits behind the wrong one loses more.
 */
const [alwaysAheadMs, longLineAheadMs] = [1, 10]

export class Lane {
  readonly model: EngineModel
  lastUsed = 0
  readonly #options: LaneOptions
  readonly #line: Admission<Entry>
  readonly #crew = new Crew()
  /** Of the engine that was last begun to be loaded; never rejects. */
  #lastLoad: Promise<void> = Promise.resolve()
  #fillTimer: NodeJS.Timeout | undefined
  #soon: NodeJS.Immediate | undefined
  /** Until then it gives no engine to another model, on the clock of performance.now(). */
  #keepsUntil = 0
  readonly #poison = new Poison()
  /** How the last engine that ended unasked did. */
  #lastExit: string | null = null
  readonly #pace = new Pace()
  readonly #availability = new Availability(() => this.pump())
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
    return this.#crew.engines
  }

  get waiting(): number {
    return this.#line.waiting
  }

  get lastExit(): string | null {
    return this.#lastExit
  }

  get isIdle(): boolean {
    return this.#line.waiting === 0 && this.#crew.resting === this.#crew.size
  }

  /** Nothing would be lost with it, not even the memory of failures. */
  get isForgettable(): boolean {
    return this.isIdle && this.#crew.size === 0 && this.#availability.mayStart
  }

  /** Wants an engine and has none: goes first when one becomes free. */
  get isStarved(): boolean {
    return this.#line.waiting > 0 && this.#crew.size === 0 && this.#availability.mayStart
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
      return answerOf(served, options)
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
    const asked = questions.map((question) => entryFor(question, { priority, caller, trace }))
    const entries = asked.map(({ entry }) => entry).filter((entry) => !this.#poison.refuses(entry))
    // Those that came in this turn of the event loop need no place where an engine can take them at once.
    if (this.#line.waiting + entries.length > this.#options.places) this.pump()
    this.#line.admit(entries, this.#pace.perSecond * Math.max(1, this.#crew.size))
    const abort = () => gone.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const within = Math.min(deadlineMs, this.#options.deadlineMs)
    const timer = setTimeout(() => gone.reject(this.#tooLate(within)), within)
    this.#pumpSoon()
    try {
      return await Promise.race([Promise.all(asked.map(({ served }) => served)), gone.promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      for (const entry of entries) this.#line.leave(entry)
    }
  }

  /** Once all requests have been read that have arrived by now: those that come together go together. */
  #pumpSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined
      this.pump()
    })
  }

  /** Hands waiting images to idle engines, asks for more engines when all are busy, and sends ahead. */
  pump(): void {
    if (this.#isClosed) return
    this.#serveBy(() => ({ able: this.#crew.resting, engine: this.#crew.takeResting() }))
    this.#grow()
    this.#serveBy(() => {
      const able = this.#ableAhead
      return { able: able.length, engine: able[0] }
    })
  }

  /** Hands out batches as long as images and engines are there. */
  #serveBy(next: () => { readonly able: number; readonly engine: Engine | undefined }): void {
    while (this.#line.waiting > 0 && !this.#waitsForMore()) {
      const { able, engine } = next()
      if (!engine) return
      void this.#serve(engine, this.#batchSize(engine, able))
    }
  }

  get #ableAhead(): readonly Engine[] {
    const { imageMs } = this.#pace
    const isLong = this.#line.waiting > this.#crew.size
    const isFast = imageMs > 0 && imageMs <= (isLong ? longLineAheadMs : alwaysAheadMs)
    // A retry goes alone into an engine that has nothing else, or its end would be blamed on another.
    if (!isFast || this.#line.first?.isRetry || this.#mustYield) return []
    return this.#crew.ableAhead
  }

  #grow(): void {
    const wanted = this.#line.waiting > 0 && this.#crew.loading === 0
    if (!wanted || this.#crew.size >= this.#options.maxEngines) return
    if (this.#availability.mayStart) this.#recruit()
  }

  #recruit(): void {
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
    if (this.#crew.loaded > 0) return
    if (this.#crew.loading === 0) this.#recruit()
    await this.#lastLoad
    if (this.#crew.size === 0) {
      throw this.#availability.notReady('Cannot load the model: no engine is free')
    }
  }

  /** Answers what waits and ends; takes nothing new. Settles when its engines have ended. */
  async retire(): Promise<void> {
    this.#isRetired = true
    // What waits and has an engine to go to is handed over before those that rest are ended.
    this.pump()
    const { engines } = this
    for (let resting = this.#crew.resting; resting > 0; resting--) this.yieldEngine()
    await Promise.all(engines.map((engine) => engine.ended))
    while (this.#crew.size > 0) await Promise.all(this.engines.map((engine) => engine.ended))
  }

  /** Gives up one idle engine, if there is one, and ends it. */
  yieldEngine(): Engine | undefined {
    const engine = this.#crew.takeResting()
    engine?.kill()
    return engine
  }

  /** Refuses what waits and ends the engines. */
  close(): void {
    this.#isClosed = true
    this.#availability.close()
    clearTimeout(this.#fillTimer)
    this.#rejectWaiting(shuttingDown())
    for (const engine of this.engines) engine.kill()
  }

  /** Of an engine that is one of `able` to take one. */
  #batchSize(engine: Engine, able: number): number {
    const others = this.engines.filter((other) => other !== engine).length
    const backlog = { waiting: this.#line.waiting, able, others }
    return batchSize({ ...backlog, imageMs: this.#pace.imageMs }, this.#options)
  }

  /** Whether the batch may still fill: it is not full, and its oldest image has not waited long enough. */
  #waitsForMore(): boolean {
    const { maxDelayMs } = this.#options
    if (maxDelayMs === 0 || this.#isRetired || isFilled(this.#line.waiting, this.#options))
      return false
    const oldest = Math.min(...this.#line.line.map(({ since }) => since))
    const leftMs = oldest + maxDelayMs - performance.now()
    if (leftMs <= 0) return false
    clearTimeout(this.#fillTimer)
    this.#fillTimer = setTimeout(() => this.pump(), Math.ceil(leftMs))
    return true
  }

  async #load(engine: Engine): Promise<void> {
    this.#crew.load(engine)
    void engine.ended.then((end) => this.#ended(engine, end))
    try {
      await engine.load(this.model, this.#options.maxBatch)
      this.#availability.loaded()
    } catch (error) {
      engine.kill()
      if (error instanceof ServiceError) this.#refuseAll(error)
      else this.#availability.failed()
    }
    this.#crew.loadEnded(engine)
    this.#keepsUntil = performance.now() + sliceMs
    this.#free(engine, false)
  }

  async #serve(engine: Engine, most: number): Promise<void> {
    const entries = this.#line.take(most, (entry) => entry.isRetry)
    const work = this.#crew.begin(
      engine,
      entries.some((entry) => entry.isRetry)
    )
    const sentAt = performance.now()
    try {
      const { verdicts, seen, times } = await engine.classify(
        entries.map(({ question }) => question)
      )
      const until = performance.now()
      // What was sent ahead has waited in the engine. Two answers may be read at once: then it began earlier.
      const latest = until - times.inputMs - times.inferMs - times.outputMs
      const since = Math.max(sentAt, Math.min(work.freeSince, latest))
      work.freeSince = until
      const queued = entries.map((entry) => since - entry.since)
      this.#options.statistics.batchDone(this.model, queued, times)
      const size = entries.length
      const run = { since, until, size, times, askers: distinctAskers(entries) }
      for (const [i, { since, resolve }] of entries.entries()) {
        const verdict = verdicts[i]
        const own = { seen: seen[i] ?? null, batch: size, queueMs: queued[i] ?? 0, since, run }
        if (verdict) resolve({ verdict, ...own })
      }
      this.#options.onSeen(seen.filter((one) => one !== null))
      this.#availability.answered()
      this.#pace.batchDone(size, until - since, times)
    } catch (error) {
      if (!(error instanceof EngineEnded)) throw error
      // One end, however many batches it takes along: the first was running, the other one waited for it.
      if (this.#crew.lose(engine)) {
        this.#availability.failed()
        this.#retry(entries)
      } else this.#putBack(entries)
    }
    // Asked while the engine still counts as one of this model.
    const mustYield = this.#mustYield
    if (this.#crew.end(engine)) this.pump()
    else this.#free(engine, mustYield)
  }

  get #mustYield(): boolean {
    return performance.now() >= this.#keepsUntil && this.#options.mustYield()
  }

  /** After loading or a batch: the engine rests, goes on, or makes room for another model's. */
  #free(engine: Engine, mustYield: boolean): void {
    if (engine.isUsable) {
      const isUnneeded = this.#isRetired && this.#line.waiting === 0
      if (isUnneeded || mustYield) engine.kill()
      else this.#crew.rest(engine)
    }
    // Whoever it made room for comes before its own next engine.
    if (mustYield) this.#options.onFree()
    this.pump()
    this.#options.onFree()
  }

  #retry(entries: readonly Entry[]): void {
    // An engine that is ended with the service says nothing about its images.
    if (this.#isClosed) {
      this.#putBack(entries)
      return
    }
    const fresh = entries.filter(({ isRetry }) => !isRetry)
    for (const entry of fresh) entry.isRetry = true
    for (const entry of entries) {
      if (!fresh.includes(entry)) this.#options.onPoison(this.#poison.add(entry))
    }
    this.#putBack(fresh)
  }

  #putBack(entries: readonly Entry[]): void {
    if (!this.#isClosed) this.#line.putBack(entries)
    else for (const entry of entries) entry.reject(shuttingDown())
  }

  #ended(engine: Engine, end: EngineEnd): void {
    if (!end.asked) this.#lastExit = end.how
    // What it was sent is not given up before it is put back, or nothing would seem to be left of this model.
    this.#crew.leave(engine)
    this.#options.onEnd(end)
    this.pump()
  }

  /** A file that cannot be loaded now will not be loaded by waiting for it. */
  #refuseAll(fault: ServiceError): void {
    this.#availability.broken(fault)
    this.#rejectWaiting(this.#availability.notReady(fault.detail))
  }

  #rejectWaiting(error: ServiceError): void {
    for (const entry of this.#line.take(this.#line.waiting, () => false)) entry.reject(error)
  }

  #refuseWhileDown(): void {
    if (this.#isClosed) throw shuttingDown()
    if (this.#crew.size > 0 || !this.#availability.isDown) return
    throw this.#availability.notReady('Cannot predict: the engine of the model is restarting')
  }

  #tooLate(afterMs: number): ServiceError {
    return this.#availability.tooLate(afterMs, {
      loaded: this.#crew.loaded,
      loading: this.#crew.loading
    })
  }
}

export function shuttingDown(): ServiceError {
  return new ServiceError('SHUTTING_DOWN', { detail: 'Cannot predict: the service is ending' })
}
