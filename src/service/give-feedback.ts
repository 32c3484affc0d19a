/** Takes feedback: finds the prediction that is meant, checks the label, and stores what was said. */
import { getDataset, versionFacts } from '../catalog/datasets.ts'
import { storeFeedback } from '../catalog/feedback.ts'
import { findModel } from '../catalog/models.ts'
import type { Catalog } from '../catalog/open.ts'
import { type FoundPrediction, findPrediction } from '../catalog/predictions.ts'
import type { ServedModels } from '../catalog/served-models.ts'
import type { Feedback, FeedbackItem } from '../contract/feedback.ts'
import { ServiceError } from '../errors.ts'
import type { PredictionMemory } from './prediction-memory.ts'

export interface FeedbackDeps {
  readonly db: Catalog
  readonly served: Pick<ServedModels, 'resolve'>
  readonly memory: Pick<PredictionMemory, 'rule' | 'store'>
}

export interface CheckedFeedback {
  readonly prediction: FoundPrediction
  /** As the model or the dataset spells it. */
  readonly label: string
}

/** What is asked of one image; `addTo` names a dataset whose classes count as well. */
export type AskedFeedback = FeedbackItem & { readonly addTo?: string }

/**
 * @throws ServiceError MODEL_NOT_FOUND, PREDICTION_NOT_FOUND, DATASET_NOT_FOUND, and REQUEST_INVALID for a
 *   label that neither the model nor the dataset has
 */
export async function checkFeedback(
  { db, served, memory }: FeedbackDeps,
  model: string,
  { prediction: id, index = 0, label, addTo }: AskedFeedback
): Promise<CheckedFeedback> {
  const { id: modelId } = await findModel(db, model)
  await memory.store()
  const prediction = await findPrediction(db, { modelId, id, index })
  if (prediction === undefined) {
    throw new ServiceError('PREDICTION_NOT_FOUND', {
      detail: `Cannot find the prediction: ${model} has none of this id and index (${memory.rule}), received ${id} with index ${index}`
    })
  }
  const { labels } = await served.resolve(model, { version: prediction.version })
  const wanted = label.normalize('NFC').trim()
  const known = [label, wanted].find((one) => labels.includes(one))
  if (known !== undefined) return { prediction, label: known }
  const classes = addTo === undefined ? [] : await classesOf(db, addTo)
  if (classes.includes(wanted)) return { prediction, label: wanted }
  const beside = addTo === undefined ? '' : `, or one of ${addTo}: ${listed(classes)}`
  const detail = `must be a label of ${model} version ${prediction.version}: ${listed(labels)}${beside}`
  throw new ServiceError('REQUEST_INVALID', {
    detail: 'Cannot take the feedback: one fault found',
    errors: [{ pointer: '/label', detail, received: label.slice(0, 200) }]
  })
}

/** An answer for each item: what was stored, or why it was not. */
export async function giveFeedback(
  deps: FeedbackDeps,
  model: string,
  items: readonly FeedbackItem[]
): Promise<(Feedback | ServiceError)[]> {
  await findModel(deps.db, model)
  const checked: (CheckedFeedback | ServiceError)[] = []
  for (const item of items) {
    checked.push(await checkFeedback(deps, model, item).catch(asFault))
  }
  const now = new Date()
  return deps.db.transaction().execute(async (trx) => {
    const answers: (Feedback | ServiceError)[] = []
    for (const one of checked) {
      const isFault = one instanceof ServiceError
      answers.push(
        isFault ? one : await storeFeedback(trx, { ...one, addedTo: null }, now).catch(asFault)
      )
    }
    return answers
  })
}

function asFault(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error
  throw error
}

async function classesOf(db: Catalog, nameOrId: string): Promise<string[]> {
  const { id, version } = await getDataset(db, nameOrId)
  const facts = version === null ? undefined : await versionFacts(db, id, version)
  return (facts?.classes ?? []).map(({ label }) => label)
}

/** Labels that are named; more would fill the answer. */
const mostNamed = 50

function listed(labels: readonly string[]): string {
  const more = labels.length - mostNamed
  return `${labels.slice(0, mostNamed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
