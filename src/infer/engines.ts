/**
 * Every engine process of the api: how many there are, and which model gets one.
 *
 * A model is loaded when it is first asked and gets more engines while it is busy. When all places
 * are taken, the model that was idle for longest loses an engine; the end of the process is what
 * gives its memory back. One engine without a model is kept started, so that loading takes
 * milliseconds and readiness means something before the first request.
 */
import type { Seen } from '../contract/sketch.ts'
import { Engine, type EngineEnd } from './engine.ts'
import { Lane, shuttingDown } from './lane.ts'
import type { EngineModel, Question } from './messages.ts'
import type { Answer, AskOptions } from './request.ts'
import { type ModelStatistics, Statistics } from './statistics.ts'

export interface EnginesOptions {
  /** Engines of one model, at most: the cores that serving may use. */
  readonly perModel: number
  /** Engines of all models together. @default the greater of 4 and twice perModel */
  readonly processes?: number
  /** Images that may wait for one model. @default 128 */
  readonly places?: number
  /** Images that one run may take. @default 8 */
  readonly maxBatch?: number
  /** How long an image may wait for others to fill a batch, in milliseconds. @default 0 */
  readonly maxDelayMs?: number
  /** Sizes that batches should have, ascending, from 1 to `maxBatch`. @default none */
  readonly preferredSizes?: readonly number[]
  /** A request that is not answered by then is refused. @default 30 000 */
  readonly deadlineMs?: number
  /** Told of every engine that ended unasked. */
  readonly onCrash?: (crash: { readonly model: string | null; readonly how: string }) => void
  /** Told of every batch: what was seen of those of its images that were answered. */
  readonly onSeen?: (model: EngineModel, seen: readonly Seen[]) => void
  /** Told of every image that has ended two engines, by its SHA-256; it is refused from then on. */
  readonly onPoison?: (poison: { readonly model: string; readonly sha256: string }) => void
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
    readonly serves: EngineModel['serves']
    /** How its last engine ended that did so unasked. */
    readonly lastExit: string | null
  }[]
}

/** Restarts of the spare engine wait so long after a failure, doubling up to the longest. */
const [firstDelayMs, longestDelayMs] = [200, 10_000]

export class Engines {
  readonly #options: Required<EnginesOptions>
  readonly #lanes = new Map<string, Lane>()
  /** Of models that were unloaded, until they have answered what had been asked. */
  readonly #retired = new Set<Lane>()
  readonly #statistics = new Statistics()
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
      maxDelayMs: 0,
      preferredSizes: [],
      deadlineMs: 30_000,
      onCrash: () => {},
      onSeen: () => {},
      onPoison: () => {},
      ...options
    }
    this.#startSpare()
  }

  /** Engines that a model gets at most, how long its images may wait for others, and for how many. */
  get instances() {
    const { perModel: engines, maxDelayMs, preferredSizes } = this.#options
    return { engines, maxDelayMs, preferredSizes }
  }

  /** Images that one run of a model is given at most. */
  get maxBatch(): number {
    return this.#options.maxBatch
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
        waiting: lane.waiting,
        serves: lane.model.serves,
        lastExit: lane.lastExit
      }))
    }
  }

  /** Process ids of the engines that hold `key`. */
  pids(key: string): number[] {
    const engines = this.#lanes.get(key)?.engines ?? []
    return engines.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  /**
   * Has `model` classify the images of one request, and loads it when it is not loaded.
   *
   * @throws ServiceError QUEUE_FULL, MODEL_NOT_READY, DEADLINE_EXCEEDED, SHUTTING_DOWN;
   *   the signal's reason when it aborts.
   */
  async ask(
    model: EngineModel,
    questions: readonly Question[],
    options: AskOptions
  ): Promise<Answer> {
    if (this.#isClosed) throw shuttingDown()
    return this.#lane(model).ask(questions, options)
  }

  /**
   * Has an engine hold `model` before it is asked.
   *
   * @throws ServiceError MODEL_NOT_READY
   */
  async load(model: EngineModel): Promise<void> {
    if (this.#isClosed) throw shuttingDown()
    await this.#lane(model).load()
  }

  /** Ends the engines of every version of a model, once they have answered what was asked. */
  async unload(name: string): Promise<void> {
    const lanes = [...this.#lanes].filter(([, { model }]) => model.serves.model === name)
    await Promise.all(
      lanes.map(async ([key, lane]) => {
        this.#lanes.delete(key)
        this.#retired.add(lane)
        await lane.retire()
        this.#retired.delete(lane)
      })
    )
  }

  /** What each model was asked since the start, also when it is not loaded any more. */
  get statistics(): readonly ModelStatistics[] {
    return this.#statistics.list()
  }

  /** Refuses what waits and ends every engine; settles when all have ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#spareTimer)
    const lanes = [...this.#lanes.values(), ...this.#retired]
    const engines = lanes.flatMap((lane) => lane.engines)
    if (this.#spare) engines.push(this.#spare)
    for (const lane of lanes) lane.close()
    this.#spare?.kill()
    await Promise.all(engines.map((engine) => engine.ended))
  }

  #lane(model: EngineModel): Lane {
    const known = this.#lanes.get(model.key)
    if (known) return known
    const { perModel, places, maxBatch, maxDelayMs, preferredSizes, deadlineMs } = this.#options
    const lane = new Lane(model, {
      maxEngines: perModel,
      places,
      maxBatch,
      maxDelayMs,
      preferredSizes,
      deadlineMs,
      statistics: this.#statistics,
      acquire: () => this.#acquire(lane),
      mustYield: () => this.#isFull && this.#starved(lane).length > 0,
      onFree: () => this.#serveStarved(lane),
      onEnd: (end) => this.#ended(end, model.key),
      onSeen: (seen) => this.#options.onSeen(model, seen),
      onPoison: (sha256) => this.#options.onPoison({ model: model.key, sha256 })
    })
    this.#lanes.set(model.key, lane)
    return lane
  }

  #acquire(lane: Lane): Engine | null {
    if (this.#isClosed) return null
    if (this.#isFull && !this.#evict(lane)) return null
    const engine = this.#spare?.isAlive ? this.#spare : this.#make()
    this.#spare = undefined
    setImmediate(() => this.#startSpare())
    return engine
  }

  /** Null where the system starts no process, which is told like the end of one. */
  #make(): Engine | null {
    try {
      return new Engine()
    } catch (error) {
      this.#crashes += 1
      this.#options.onCrash({ model: null, how: (error as Error).message })
      return null
    }
  }

  /** Takes an idle engine from the model that was used least recently, `lane` itself excepted. */
  #evict(lane: Lane): boolean {
    const others = [...this.#lanes.values()].filter((other) => other !== lane)
    others.sort((a, b) => a.lastUsed - b.lastUsed)
    return others.some((other) => {
      // A model that has an engine grows only at the cost of models that are wholly idle.
      if (lane.engines.length > 0 && !other.isIdle) return false
      // It is about to be asked: what came in this turn of the event loop is handed out at its end.
      if (other.waiting > 0) return false
      return other.yieldEngine() !== undefined
    })
  }

  get #isFull(): boolean {
    const lanes = [...this.#lanes.values(), ...this.#retired]
    const taken = lanes.reduce((sum, { engines }) => sum + engines.length, 0)
    return taken >= this.#options.processes
  }

  #starved(except?: Lane): Lane[] {
    return [...this.#lanes.values()].filter((lane) => lane !== except && lane.isStarved)
  }

  #serveStarved(except?: Lane): void {
    for (const lane of this.#starved(except)) lane.pump()
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
    const spare = this.#make()
    if (spare === null) {
      this.#startSpareLater()
      return
    }
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
    this.#startSpareLater()
  }

  #startSpareLater(): void {
    this.#spareFailures += 1
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#spareFailures - 1))
    this.#spareTimer = setTimeout(() => this.#startSpare(), delay)
    this.#spareTimer.unref()
  }
}
