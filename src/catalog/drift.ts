/** Watches of what models are asked, kept over restarts, and the events that came of them. */

import type { DriftEvent } from '../contract/drift.ts'
import type { PublishedReport, VariantName } from '../contract/report.ts'
import type { Sketch } from '../contract/sketch.ts'
import { findModel } from './models.ts'
import type { Catalog } from './open.ts'
import { unflushed } from './unflushed.ts'

/** One variant of a version that exists. */
export interface WatchedVariant {
  readonly modelId: number
  readonly version: number
  readonly variant: VariantName
  readonly labels: readonly string[]
  readonly channels: number
  /** What its version was published with; null where that was before there were sketches. */
  readonly reference: Sketch | null
  /** JSON of its watch as it was last stored; null where it was never asked. */
  readonly state: string | null
}

/** What is stored of a watch: all or nothing. */
export interface StoredWatch {
  readonly modelId: number
  readonly version: number
  readonly variant: VariantName
  readonly newestAt: number
  /** Aspects that drift. */
  readonly drifting: number
  readonly state: string
  /** Since it was last stored. */
  readonly changes: readonly Omit<DriftEvent, 'version' | 'variant'>[]
}

/** Events of a model that are kept. */
const mostEvents = 200

/** Undefined when there is no such version, or none of this file any more. */
export async function findWatched(
  db: Catalog,
  {
    model,
    version,
    variant
  }: { readonly model: string; readonly version: number; readonly variant: string }
): Promise<WatchedVariant | undefined> {
  const row = await watchedVersions(db)
    .where('name', '=', model)
    .where('model_versions.version', '=', version)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const watch = await db
    .selectFrom('drift_watches')
    .select('state')
    .where('model_id', '=', row.model_id)
    .where('version', '=', version)
    .where('variant', '=', variant as VariantName)
    .executeTakeFirst()
  return asWatched(row, variant as VariantName, watch?.state ?? null)
}

/**
 * Variants of a model that were asked, latest first.
 *
 * @throws ServiceError MODEL_NOT_FOUND
 */
export async function watchedVariants(db: Catalog, model: string): Promise<WatchedVariant[]> {
  const { id } = await findModel(db, model)
  const watches = await db
    .selectFrom('drift_watches')
    .select(['version', 'variant', 'state'])
    .where('model_id', '=', id)
    .orderBy('newest_at', 'desc')
    .limit(mostVariants)
    .execute()
  const versions = [...new Set(watches.map(({ version }) => version))]
  if (versions.length === 0) return []
  const rows = await watchedVersions(db)
    .where('model_id', '=', id)
    .where('model_versions.version', 'in', versions)
    .execute()
  return watches.flatMap(({ version, variant, state }) => {
    const row = rows.find((one) => one.version === version)
    return row === undefined ? [] : [asWatched(row, variant, state)]
  })
}

/** Those of a model that are told of. */
const mostVariants = 20

/** Newest first. */
export async function driftEvents(db: Catalog, model: string): Promise<DriftEvent[]> {
  return db
    .selectFrom('drift_events')
    .innerJoin('models', 'id', 'model_id')
    .select(['at', 'version', 'variant', 'aspect', 'event', 'score', 'threshold', 'images'])
    .where('name', '=', model)
    .orderBy('seq', 'desc')
    .limit(mostEvents)
    .execute()
}

/** Stores watches and what has changed; the answer is those whose version was deleted meanwhile. */
export async function storeWatches(
  db: Catalog,
  watches: readonly StoredWatch[]
): Promise<readonly StoredWatch[]> {
  return unflushed(db, (connection) =>
    connection.transaction().execute(async (trx) => {
      const gone: StoredWatch[] = []
      for (const watch of watches) if (!(await storeWatch(trx, watch))) gone.push(watch)
      return gone
    })
  )
}

async function storeWatch(trx: Catalog, watch: StoredWatch): Promise<boolean> {
  const { modelId: model_id, version, variant, newestAt: newest_at, changes } = watch
  const exists = await trx
    .selectFrom('model_versions')
    .select('version')
    .where('model_id', '=', model_id)
    .where('version', '=', version)
    .executeTakeFirst()
  if (exists === undefined) return false
  const values = { newest_at, drifting: watch.drifting, state: watch.state }
  await trx
    .insertInto('drift_watches')
    .values({ model_id, version, variant, ...values })
    .onConflict((conflict) =>
      conflict.columns(['model_id', 'version', 'variant']).doUpdateSet(values)
    )
    .execute()
  if (changes.length === 0) return true
  const rows = changes.map((change) => ({ model_id, version, variant, ...change }))
  await trx.insertInto('drift_events').values(rows).execute()
  await trx
    .deleteFrom('drift_events')
    .where('model_id', '=', model_id)
    .where('seq', 'not in', (eb) =>
      eb
        .selectFrom('drift_events')
        .select('seq')
        .where('model_id', '=', model_id)
        .orderBy('seq', 'desc')
        .limit(mostEvents)
    )
    .execute()
  return true
}

/** Variants whose input or answers drift, for the metrics. */
export async function driftingVariants(db: Catalog): Promise<number> {
  const { count } = await db
    .selectFrom('drift_watches')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('drifting', '>', 0)
    .executeTakeFirstOrThrow()
  return count
}

const watchedVersions = (db: Catalog) =>
  db
    .selectFrom('model_versions')
    .innerJoin('models', 'id', 'model_id')
    .select(['model_id', 'model_versions.version', 'report'])

function asWatched(
  {
    model_id,
    version,
    report
  }: { readonly model_id: number; readonly version: number; readonly report: string },
  variant: VariantName,
  state: string | null
): WatchedVariant {
  const { labels, network, variants }: PublishedReport = JSON.parse(report)
  const reference = variants[variant]?.reference ?? null
  return {
    modelId: model_id,
    version,
    variant,
    labels,
    channels: network.channels,
    reference,
    state
  }
}
