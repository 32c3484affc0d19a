/** The engines of one model, and what each of them does: load, run what it was sent, or rest. */
import type { Engine } from './engine.ts'

/** What an engine has been sent and not yet answered. */
export interface Work {
  batches: number
  /** It is an image that was in an engine that ended. */
  readonly isRetry: boolean
  /** When it answered last, on the clock of performance.now(). */
  freeSince: number
}

export class Crew {
  readonly #resting: Engine[] = []
  /** The one that was sent something last comes last. */
  readonly #busy = new Map<Engine, Work>()
  readonly #loading = new Set<Engine>()

  get engines(): readonly Engine[] {
    return [...this.#resting, ...this.#busy.keys(), ...this.#loading]
  }

  get size(): number {
    return this.#resting.length + this.#busy.size + this.#loading.size
  }

  get resting(): number {
    return this.#resting.length
  }

  get loading(): number {
    return this.#loading.size
  }

  /** Engines that hold the model. */
  get loaded(): number {
    return this.#resting.length + this.#busy.size
  }

  /** Busy engines that may be sent a batch ahead of its time, the one that is done first coming first. */
  get ableAhead(): Engine[] {
    return [...this.#busy]
      .filter(([engine, work]) => engine.isUsable && work.batches === 1 && !work.isRetry)
      .map(([engine]) => engine)
  }

  load(engine: Engine): void {
    this.#loading.add(engine)
  }

  loadEnded(engine: Engine): void {
    this.#loading.delete(engine)
  }

  rest(engine: Engine): void {
    this.#resting.push(engine)
  }

  /** The one that has rested for the shortest time: what it needs is still in the caches of its core. */
  takeResting(): Engine | undefined {
    return this.#resting.pop()
  }

  /** Has been sent a batch. */
  begin(engine: Engine, isRetry: boolean): Work {
    const work = this.#busy.get(engine) ?? { batches: 0, isRetry, freeSince: 0 }
    work.batches += 1
    this.#busy.delete(engine)
    this.#busy.set(engine, work)
    return work
  }

  /** Has answered a batch. Returns whether it has another one. */
  end(engine: Engine): boolean {
    const work = this.#busy.get(engine)
    if (work === undefined) return false
    work.batches -= 1
    if (work.batches === 0) this.#busy.delete(engine)
    return work.batches > 0
  }

  /** It ended while it rested. */
  leave(engine: Engine): void {
    const at = this.#resting.indexOf(engine)
    if (at !== -1) this.#resting.splice(at, 1)
  }

  /** It ended with what it was sent. Returns whether that is new: two batches end with it one after the other. */
  lose(engine: Engine): boolean {
    return this.#busy.delete(engine)
  }
}
