/** What callers said was right: one row for each image, the last word counts. */
import type { Selectable } from 'kysely'
import type { AddedTo, Feedback } from '../contract/feedback.ts'
import type { VariantName } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import type { FeedbackTable } from './migration/0011-feedback.ts'
import { findModel } from './models.ts'
import type { Catalog } from './open.ts'
import type { FoundPrediction } from './predictions.ts'

/** Rows of all models together; beyond, the oldest go. */
const mostFeedback = 1_000_000

export interface GivenFeedback {
  readonly prediction: FoundPrediction
  readonly label: string
  /** Null where the image was not to be added to a dataset. */
  readonly addedTo: AddedTo | null
}

/**
 * Stores feedback, in place of what was said of the same image before.
 *
 * @throws ServiceError PREDICTION_NOT_FOUND when the version that answered has been deleted meanwhile
 */
export async function storeFeedback(
  db: Catalog,
  { prediction, label, addedTo }: GivenFeedback,
  now: Date
): Promise<Feedback> {
  const { id, index, modelId, version, variant, predicted, score, at } = prediction
  const answerer = await db
    .selectFrom('model_versions')
    .select('version')
    .where('model_id', '=', modelId)
    .where('version', '=', version)
    .executeTakeFirst()
  if (answerer === undefined) {
    throw new ServiceError('PREDICTION_NOT_FOUND', {
      detail: `Cannot find the prediction: its version ${version} has been deleted, received ${id}`
    })
  }
  const said = {
    label,
    given_at: now.toISOString(),
    ...(addedTo === null ? {} : { added: JSON.stringify(addedTo) })
  }
  const row = await db
    .insertInto('feedback')
    .values({
      ...{ id, position: index, model_id: modelId, version, variant, predicted, score, at },
      added: null,
      ...said
    })
    .onConflict((conflict) => conflict.columns(['id', 'position']).doUpdateSet(said))
    .returningAll()
    .executeTakeFirstOrThrow()
  await db
    .deleteFrom('feedback')
    .where('seq', '<=', row.seq - mostFeedback)
    .execute()
  return asFeedback(row)
}

export interface FeedbackFilter {
  readonly version?: number | undefined
  readonly variant?: VariantName | undefined
  readonly correct?: boolean | undefined
}

export interface FeedbackPage {
  readonly items: Feedback[]
  /** Where the next page begins; null at the end. */
  readonly next: number | null
}

/**
 * Feedback to a model, newest first, at most `limit` of what is older than row `before`.
 *
 * @throws ServiceError MODEL_NOT_FOUND
 */
export async function listFeedback(
  db: Catalog,
  model: string,
  {
    limit,
    before,
    ...filter
  }: FeedbackFilter & { readonly limit: number; readonly before: number | null }
): Promise<FeedbackPage> {
  const { query } = await filtered(db, model, filter)
  const rows = await query
    .selectAll()
    .$if(before !== null, (all) => all.where('seq', '<', before))
    .orderBy('seq', 'desc')
    .limit(limit + 1)
    .execute()
  const page = rows.slice(0, limit)
  const next = rows.length > limit ? (page.at(-1)?.seq ?? null) : null
  return { items: page.map(asFeedback), next }
}

export interface AnswerCount {
  readonly version: number
  readonly variant: VariantName
  readonly label: string
  readonly predicted: string
  readonly images: number
}

/**
 * How often each label was answered by each class, newest version first.
 *
 * @throws ServiceError MODEL_NOT_FOUND
 */
export async function countAnswers(
  db: Catalog,
  model: string,
  filter: FeedbackFilter
): Promise<AnswerCount[]> {
  const keys = ['version', 'variant', 'label', 'predicted'] as const
  const { query } = await filtered(db, model, filter)
  return query
    .select(({ fn }) => [...keys, fn.countAll<number>().as('images')])
    .groupBy(keys)
    .orderBy('version', 'desc')
    .orderBy('variant')
    .orderBy('label')
    .orderBy('predicted')
    .execute()
}

/** In an object, since a query that is waited for is run. */
async function filtered(db: Catalog, model: string, filter: FeedbackFilter) {
  const { version, variant, correct } = filter
  const { id } = await findModel(db, model)
  let query = db.selectFrom('feedback').where('model_id', '=', id)
  if (version !== undefined) query = query.where('version', '=', version)
  if (variant !== undefined) query = query.where('variant', '=', variant)
  if (correct !== undefined) {
    query = query.where('label', correct ? '=' : '<>', (eb) => eb.ref('predicted'))
  }
  return { query }
}

function asFeedback(row: Selectable<FeedbackTable>): Feedback {
  const { id, position, version, variant, predicted, score, at, label, given_at, added } = row
  return {
    prediction: id,
    index: position,
    label,
    predicted,
    score,
    correct: label === predicted,
    version,
    variant,
    predictedAt: at,
    givenAt: given_at,
    addedTo: added === null ? null : JSON.parse(added)
  }
}
