/**
 * Watches all models that are asked: counts every image that an engine answered, in memory, and stores
 * the counts now and then, with the events that came of them.
 *
 * What was counted after the last time it was stored is lost when the api is killed, together with the
 * events that followed from it, so no event is told twice.
 */
import {
  driftEvents,
  driftingVariants,
  findWatched,
  type StoredWatch,
  storeWatches,
  type WatchedVariant,
  watchedVariants
} from '../catalog/drift.ts'
import type { Catalog } from '../catalog/open.ts'
import type { DriftReport } from '../contract/drift.ts'
import { type DriftAspect, driftAspects, type Seen } from '../contract/sketch.ts'
import { type Change, usableReference, Watch } from '../drift/watch.ts'
import { describeDrift } from './drift-report.ts'

export interface DriftOptions {
  readonly db: Catalog
  /** The newest images of a variant that are judged, at most. */
  readonly window: number
  readonly log: {
    warn(about: object, message: string): void
    error(about: object, message: string): void
  }
}

/** What an engine holds. */
interface Asked {
  readonly key: string
  readonly serves: { readonly model: string; readonly version: number; readonly variant: string }
}

interface Tracked {
  readonly asked: Asked
  /** Undefined until it has been read from the catalogue. */
  found: { readonly variant: WatchedVariant; readonly watch: Watch } | undefined
  /** What was seen meanwhile. */
  readonly early: Seen[]
  /** Since it was last stored. */
  changes: Change[]
  isChanged: boolean
}

/** Watches in memory; the ones that were asked longest ago are read again when they are asked. */
const mostTracked = 500
/** Images that wait for their watch to be read; a catalogue that cannot be read must not fill the memory. */
const mostEarly = 10_000

export class Drift {
  readonly #options: DriftOptions
  readonly #tracked = new Map<string, Tracked>()
  readonly #trips = new Map<DriftAspect, number>(driftAspects.map((aspect) => [aspect, 0]))
  readonly #finding = new Set<Promise<void>>()
  #storing: Promise<void> = Promise.resolve()

  constructor(options: DriftOptions) {
    this.#options = options
  }

  /** Times that each aspect has tripped since the start. */
  get trips(): ReadonlyMap<DriftAspect, number> {
    return this.#trips
  }

  /** Variants that drift, also those that were not asked since the start. */
  drifting(): Promise<number> {
    return driftingVariants(this.#options.db)
  }

  /** Counts images that were answered. Costs about a microsecond each. */
  observe(asked: Asked, seen: readonly Seen[]): void {
    const tracked = this.#tracked.get(asked.key) ?? this.#track(asked)
    if (tracked.found === undefined) {
      if (tracked.early.length < mostEarly) tracked.early.push(...seen)
      return
    }
    this.#count(tracked, tracked.found.watch, seen)
  }

  /** Judges and stores what was counted since the last time. */
  store(): Promise<void> {
    this.#storing = this.#storing.catch(() => {}).then(() => this.#store())
    return this.#storing
  }

  /** @throws ServiceError MODEL_NOT_FOUND */
  async report(model: string): Promise<DriftReport> {
    const { db, window, log } = this.#options
    // On a full disk, what was stored before can still be read.
    await this.store().catch((error) => log.error({ err: error }, 'drift is not stored'))
    const variants = await watchedVariants(db, model)
    return describeDrift({ model, window, variants, events: await driftEvents(db, model) })
  }

  #track(asked: Asked): Tracked {
    const tracked: Tracked = { asked, found: undefined, early: [], changes: [], isChanged: false }
    this.#tracked.set(asked.key, tracked)
    this.#startFinding(tracked)
    return tracked
  }

  /** Where it fails, it is tried again the next time that watches are stored. */
  #startFinding(tracked: Tracked): void {
    const finding = this.#find(tracked)
      .catch((error) => {
        const { key } = tracked.asked
        this.#options.log.error({ err: error, model: key }, 'drift is not watched for now')
      })
      .finally(() => this.#finding.delete(finding))
    this.#finding.add(finding)
  }

  async #find(tracked: Tracked): Promise<void> {
    const { db, window } = this.#options
    const variant = await findWatched(db, tracked.asked.serves)
    if (variant === undefined) {
      this.#tracked.delete(tracked.asked.key)
      return
    }
    const options = { ...variant, reference: usableReference(variant.reference), window }
    const kept = variant.state === null ? null : JSON.parse(variant.state)
    const watch = new Watch(options, kept, new Date())
    tracked.found = { variant, watch }
    this.#count(tracked, watch, tracked.early.splice(0))
  }

  #count(tracked: Tracked, watch: Watch, seen: readonly Seen[]): void {
    const now = new Date()
    if (seen.length > 0) tracked.isChanged = true
    for (const one of seen) {
      const changes = watch.add(one, now)
      if (changes.length > 0) this.#changed(tracked, changes)
    }
  }

  #changed(tracked: Tracked, changes: readonly Change[]): void {
    tracked.changes.push(...changes)
    const { model, version, variant } = tracked.asked.serves
    for (const change of changes) {
      const { aspect, event } = change
      if (event === 'tripped') this.#trips.set(aspect, (this.#trips.get(aspect) ?? 0) + 1)
      const about = { model, version, variant, ...change }
      const text = event === 'tripped' ? 'drifts from' : 'has come back to'
      this.#options.log.warn(about, `what ${model} is asked ${text} its reference: ${aspect}`)
    }
  }

  async #store(): Promise<void> {
    if (this.#finding.size === 0) {
      for (const one of this.#tracked.values()) if (!one.found) this.#startFinding(one)
    }
    await Promise.all(this.#finding)
    const stored: { tracked: Tracked; changes: Change[]; row: StoredWatch }[] = []
    for (const tracked of this.#tracked.values()) {
      if (tracked.found === undefined || !tracked.isChanged) continue
      const { variant, watch } = tracked.found
      this.#changed(tracked, watch.look(new Date()))
      const { state } = watch
      const { modelId, version, variant: name } = variant
      const row: StoredWatch = {
        ...{ modelId, version, variant: name, newestAt: state.newestAt },
        drifting: Object.keys(state.drifting).length,
        state: JSON.stringify(state),
        changes: tracked.changes
      }
      stored.push({ tracked, changes: tracked.changes, row })
      tracked.changes = []
      tracked.isChanged = false
    }
    try {
      const gone = await storeWatches(
        this.#options.db,
        stored.map(({ row }) => row)
      )
      for (const { tracked, row } of stored) {
        if (gone.includes(row)) this.#tracked.delete(tracked.asked.key)
      }
    } catch (error) {
      for (const { tracked, changes } of stored) {
        tracked.changes.unshift(...changes)
        tracked.isChanged = true
      }
      throw error
    }
    this.#forgetIdle()
  }

  #forgetIdle(): void {
    for (const [key, { isChanged, found }] of this.#tracked) {
      if (this.#tracked.size <= mostTracked) return
      if (found !== undefined && !isChanged) this.#tracked.delete(key)
    }
  }
}
