/**
 * The line before a model: bounded, fair between callers, first come, first served for each of them.
 *
 * Callers take turns within a rank: start-time fair queueing (Goyal, Vin, Cheng 1996), every entry costing
 * one. A caller may hold an equal share of the places among all that wait, and always that much: the
 * line grows a little beyond its places for one who comes while others fill it. What does not fit is
 * refused at once with an estimate of when there will be room: a caller that knows can retry, a caller that
 * waits for ever cannot.
 */
import { ServiceError } from '../errors.ts'

export interface AdmissionOptions<T> {
  /** Lower ranks go first. @default all equal */
  readonly rank?: (entry: T) => number
  /** Whose the entry is. @default all the same one's */
  readonly caller?: (entry: T) => string
  /** Entries that may wait. A group of a caller of whom none waits is always admitted. */
  readonly places: number
}

interface Waiting<T> {
  readonly entry: T
  readonly caller: string
  readonly rank: number
  readonly turn: number
}

/** Bounds of `Retry-After`, in seconds. */
const [soonest, latest] = [1, 30]

export class Admission<T> {
  readonly #places: number
  readonly #rank: (entry: T) => number
  readonly #caller: (entry: T) => string
  #line: Waiting<T>[] = []
  /** Of callers that have something waiting. */
  readonly #callers = new Map<string, { waiting: number; lastTurn: number }>()
  /** The highest turn that has been taken. */
  #turn = 0

  constructor({ places, rank = () => 0, caller = () => '' }: AdmissionOptions<T>) {
    this.#places = places
    this.#rank = rank
    this.#caller = caller
  }

  get waiting(): number {
    return this.#line.length
  }

  /** The one that goes next. */
  get first(): T | undefined {
    return this.#line[0]?.entry
  }

  /** Those that wait, first comes first. */
  get line(): readonly T[] {
    return this.#line.map(({ entry }) => entry)
  }

  /**
   * Gives all of `entries`, which are one caller's, a place, or none.
   *
   * @param perSecond - entries that were served per second lately; 0 when unknown.
   * @throws ServiceError QUEUE_FULL with `retryAfter`.
   */
  admit(entries: readonly T[], perSecond: number): void {
    const [first] = entries
    if (first === undefined) return
    const caller = this.#caller(first)
    const known = this.#callers.get(caller)
    const own = known?.waiting ?? 0
    const others = this.#callers.size - (known ? 1 : 0)
    const share = Math.max(1, Math.floor(this.#places / (others + 1)))
    if (own > 0 && own + entries.length > share)
      throw this.#full(entries.length, { own, share, others, perSecond })
    let turn = Math.max(this.#turn, known?.lastTurn ?? 0)
    for (const entry of entries) {
      turn += 1
      this.#insert({ entry, caller, rank: this.#rank(entry), turn })
    }
    this.#callers.set(caller, { waiting: own + entries.length, lastTurn: turn })
  }

  /** Takes up to `n` from the front, stopping after or before an entry that wants to be alone. */
  take(n: number, alone: (entry: T) => boolean): T[] {
    const [first] = this.#line
    if (first === undefined) return []
    const limit = this.#line.slice(0, n).findIndex(({ entry }) => alone(entry))
    const count = limit === 0 ? 1 : limit === -1 ? n : limit
    const taken = this.#line.splice(0, count)
    for (const waiting of taken) {
      this.#turn = Math.max(this.#turn, waiting.turn)
      this.#gone(waiting)
    }
    return taken.map(({ entry }) => entry)
  }

  /** Puts entries that were taken back to the front, beyond the number of places if need be. */
  putBack(entries: readonly T[]): void {
    const back = entries.map((entry) => {
      const caller = this.#caller(entry)
      const { waiting, lastTurn } = this.#callers.get(caller) ?? { waiting: 0, lastTurn: 0 }
      this.#callers.set(caller, { waiting: waiting + 1, lastTurn })
      return { entry, caller, rank: Number.NEGATIVE_INFINITY, turn: 0 }
    })
    this.#line.unshift(...back)
  }

  /** Frees the place of an entry. Nothing happens when it was taken already. */
  leave(entry: T): void {
    const at = this.#line.findIndex((waiting) => waiting.entry === entry)
    if (at === -1) return
    for (const waiting of this.#line.splice(at, 1)) this.#gone(waiting)
  }

  #insert(waiting: Waiting<T>): void {
    const behind = this.#line.findLastIndex(
      ({ rank, turn }) => rank < waiting.rank || (rank === waiting.rank && turn <= waiting.turn)
    )
    this.#line.splice(behind + 1, 0, waiting)
  }

  #gone({ caller }: Waiting<T>): void {
    const known = this.#callers.get(caller)
    if (known === undefined) return
    if (known.waiting > 1) known.waiting -= 1
    else this.#callers.delete(caller)
  }

  #full(count: number, { own, share, others, perSecond }: Refused): ServiceError {
    const seconds = perSecond > 0 ? Math.ceil(this.#line.length / perSecond) : soonest
    const whose =
      others === 0
        ? `at most ${this.#places} images may wait`
        : `${share} of ${this.#places} places are the share of one caller while ${others} others wait`
    return new ServiceError('QUEUE_FULL', {
      detail: `Cannot accept the request: ${whose}, ${own} do, received ${count} more`,
      retryAfter: Math.min(latest, Math.max(soonest, seconds))
    })
  }
}

interface Refused {
  readonly own: number
  readonly share: number
  readonly others: number
  readonly perSecond: number
}
