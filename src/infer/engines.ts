/**
 * Every engine process of the api: how many there are, and which model gets one.
 *
 * A model is loaded when it is first asked and gets more engines while it is busy. When all places
 * are taken, the model that was idle for longest loses an engine; the end of the process is what
 * gives its memory back. One engine without a model is kept started, so that loading takes
 * milliseconds and readiness means something before the first request.
 */
import { Engine, type EngineEnd } from './engine.ts'
import { Lane, shuttingDown } from './lane.ts'
import type { EngineModel, Question, Verdict } from './messages.ts'

export interface EnginesOptions {
  /** Engines of one model, at most: the cores that serving may use. */
  readonly perModel: number
  /** Engines of all models together. @default the greater of 4 and twice perModel */
  readonly processes?: number
  /** Images that may wait for one model. @default 128 */
  readonly places?: number
  /** Images that one run may take. @default 8 */
  readonly maxBatch?: number
  /** A request that is not answered by then is refused. @default 30 000 */
  readonly deadlineMs?: number
  /** Told of every engine that ended unasked. */
  readonly onCrash?: (crash: { readonly model: string | null; readonly how: string }) => void
}

export interface EnginesStatus {
  /** Predictions can be served. */
  readonly ready: boolean
  /** Engine processes that are up, the spare one included. */
  readonly processes: number
  /** Engines that ended unasked since the start. */
  readonly crashes: number
  readonly models: readonly {
    readonly key: string
    readonly engines: number
    readonly waiting: number
  }[]
}

/** Restarts of the spare engine wait so long after a failure, doubling up to the longest. */
const [firstDelayMs, longestDelayMs] = [200, 10_000]

export class Engines {
  readonly #options: Required<EnginesOptions>
  readonly #lanes = new Map<string, Lane>()
  #spare: Engine | undefined
  #spareTimer: NodeJS.Timeout | undefined
  #spareFailures = 0
  #crashes = 0
  #isClosed = false

  constructor(options: EnginesOptions) {
    this.#options = {
      processes: Math.max(4, 2 * options.perModel),
      places: 128,
      maxBatch: 8,
      deadlineMs: 30_000,
      onCrash: () => {},
      ...options
    }
    this.#startSpare()
  }

  get status(): EnginesStatus {
    const lanes = [...this.#lanes.values()]
    const engines = lanes.flatMap((lane) => lane.engines)
    const up = [...engines, this.#spare].filter((engine) => engine?.isStarted).length
    return {
      ready: up > 0,
      processes: up,
      crashes: this.#crashes,
      models: lanes.map((lane) => ({
        key: lane.model.key,
        engines: lane.engines.length,
        waiting: lane.waiting
      }))
    }
  }

  /** Process ids of the engines that hold `key`. */
  pids(key: string): number[] {
    const engines = this.#lanes.get(key)?.engines ?? []
    return engines.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  /**
   * Classifies the images of one request with `model`, loading it when it is not loaded.
   *
   * @throws ServiceError QUEUE_FULL, MODEL_NOT_READY, DEADLINE_EXCEEDED, SHUTTING_DOWN;
   *   the signal's reason when it aborts.
   */
  async classify(
    model: EngineModel,
    questions: readonly Question[],
    signal: AbortSignal
  ): Promise<Verdict[]> {
    if (this.#isClosed) throw shuttingDown()
    return this.#lane(model).classify(questions, signal)
  }

  /** Refuses what waits and ends every engine; settles when all have ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#spareTimer)
    const engines = [...this.#lanes.values()].flatMap((lane) => lane.engines)
    if (this.#spare) engines.push(this.#spare)
    for (const lane of this.#lanes.values()) lane.close()
    this.#spare?.kill()
    await Promise.all(engines.map((engine) => engine.ended))
  }

  #lane(model: EngineModel): Lane {
    const known = this.#lanes.get(model.key)
    if (known) return known
    const { perModel, places, maxBatch, deadlineMs } = this.#options
    const lane = new Lane(model, {
      maxEngines: perModel,
      places,
      maxBatch,
      deadlineMs,
      acquire: () => this.#acquire(lane),
      mustYield: () => this.#isFull && this.#starved(lane).length > 0,
      onFree: () => this.#serveStarved(),
      onEnd: (end) => this.#ended(end, model.key)
    })
    this.#lanes.set(model.key, lane)
    return lane
  }

  #acquire(lane: Lane): Engine | null {
    if (this.#isClosed) return null
    if (this.#isFull && !this.#evict(lane)) return null
    const engine = this.#spare?.isAlive ? this.#spare : new Engine()
    this.#spare = undefined
    setImmediate(() => this.#startSpare())
    return engine
  }

  /** Takes an idle engine from the model that was used least recently, `lane` itself excepted. */
  #evict(lane: Lane): boolean {
    const others = [...this.#lanes.values()].filter((other) => other !== lane)
    others.sort((a, b) => a.lastUsed - b.lastUsed)
    return others.some((other) => {
      // A model that has an engine grows only at the cost of models that are wholly idle.
      if (lane.engines.length > 0 && !other.isIdle) return false
      return other.yieldEngine() !== undefined
    })
  }

  get #isFull(): boolean {
    const taken = [...this.#lanes.values()].reduce((sum, { engines }) => sum + engines.length, 0)
    return taken >= this.#options.processes
  }

  #starved(except?: Lane): Lane[] {
    return [...this.#lanes.values()].filter((lane) => lane !== except && lane.isStarved)
  }

  #serveStarved(): void {
    for (const lane of this.#starved()) lane.pump()
  }

  #ended({ how, asked }: EngineEnd, model: string | null): void {
    if (!asked) {
      this.#crashes += 1
      this.#options.onCrash({ model, how })
    }
    for (const [key, lane] of this.#lanes) if (lane.isForgettable) this.#lanes.delete(key)
    this.#serveStarved()
  }

  #startSpare(): void {
    if (this.#isClosed || this.#spare !== undefined) return
    const spare = new Engine()
    this.#spare = spare
    spare.started.then(
      () => {
        this.#spareFailures = 0
      },
      () => {}
    )
    void spare.ended.then((end) => {
      if (this.#spare !== spare) return
      this.#spare = undefined
      if (!this.#isClosed) this.#restartSpare(end)
    })
  }

  #restartSpare(end: EngineEnd): void {
    this.#ended(end, null)
    this.#spareFailures += 1
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#spareFailures - 1))
    this.#spareTimer = setTimeout(() => this.#startSpare(), delay)
    this.#spareTimer.unref()
  }
}
