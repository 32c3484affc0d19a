/** Predictions that feedback can name: written in bulk, forgotten by age and number. */
import { sql } from 'kysely'
import type { VariantName } from '../contract/report.ts'
import { timePrefix } from './id.ts'
import type { Catalog } from './open.ts'

export interface RememberedImage {
  readonly id: string
  /** Place in its request, from 0. */
  readonly index: number
  readonly model: string
  readonly version: number
  readonly variant: VariantName
  readonly predicted: string
  readonly score: number
  /** Of the encoded image; null where pixels were sent. */
  readonly sha256: string | null
  readonly at: string
}

/** One statement for all, with one parameter. Those of a version that was deleted are left out. */
export async function storePredictions(
  db: Catalog,
  images: readonly RememberedImage[]
): Promise<void> {
  const rows = images.map((one) => [
    ...[one.id, one.index, one.model, one.version, one.variant],
    // JSON has no NaN and no infinity, which a model may answer.
    ...[one.predicted, Number.isFinite(one.score) ? one.score : 0, one.sha256, one.at]
  ])
  await sql`insert into predictions
    (id, position, model_id, version, variant, predicted, score, sha256, at)
    select value ->> 0, value ->> 1, v.model_id, v.version, value ->> 4, value ->> 5,
      cast(value ->> 6 as real), value ->> 7, value ->> 8
    from json_each(${JSON.stringify(rows)})
    join models m on m.name = value ->> 2
    join model_versions v on v.model_id = m.id and v.version = value ->> 3
    where true on conflict do nothing`.execute(db)
}

/** Rows that go at once: their pages are written while others wait. */
const rowsAtOnce = 1000

/** Forgets predictions of before `before`, and the oldest beyond `most`. */
export async function forgetPredictions(
  db: Catalog,
  { before, most }: { readonly before: Date; readonly most: number }
): Promise<void> {
  for (;;) {
    const old = await sql`delete from predictions where seq in (
      select seq from predictions where id < ${timePrefix('pred', before.getTime())}
      order by id limit ${rowsAtOnce})`.execute(db)
    const surplus = await sql`delete from predictions where seq in (
      select seq from predictions where seq <= (select max(seq) from predictions) - ${most}
      order by seq limit ${rowsAtOnce})`.execute(db)
    const forgotten = [old, surplus].map(({ numAffectedRows = 0n }) => Number(numAffectedRows))
    if (Math.max(...forgotten) < rowsAtOnce) return
  }
}

export interface PredictionRef {
  readonly modelId: number
  readonly id: string
  readonly index: number
}

export interface FoundPrediction extends Omit<RememberedImage, 'model'> {
  readonly modelId: number
  /** Null also where only the feedback to it is left. */
  readonly sha256: string | null
}

/** A prediction that is remembered, or that has been fed back before; undefined when there is neither. */
export async function findPrediction(
  db: Catalog,
  { modelId, id, index }: PredictionRef
): Promise<FoundPrediction | undefined> {
  const shared = ['version', 'variant', 'predicted', 'score', 'at'] as const
  const row = await db
    .selectFrom('predictions')
    .select([...shared, 'sha256'])
    .where('id', '=', id)
    .where('position', '=', index)
    .where('model_id', '=', modelId)
    .executeTakeFirst()
  if (row !== undefined) return { modelId, id, index, ...row }
  const given = await db
    .selectFrom('feedback')
    .select(shared)
    .where('id', '=', id)
    .where('position', '=', index)
    .where('model_id', '=', modelId)
    .executeTakeFirst()
  return given && { modelId, id, index, sha256: null, ...given }
}
