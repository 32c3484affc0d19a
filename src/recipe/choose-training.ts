/**
 * How to train: length and batch from the number of images, the rest from the literature.
 *
 * He et al., 2015 (arXiv:1512.03385): SGD with momentum 0.9. Goyal et al., 2017 (arXiv:1706.02677): the
 * rate in proportion to the batch, after a warm-up. Loshchilov and Hutter, 2016 (arXiv:1608.03983): cosine
 * decay. Departs from the first: 0.1 at batch 64, not 128; these runs are short, and digits gained by it.
 */
import type { Recipe, TrainOptions } from '../contract/recipe.ts'
import type { Decisions } from './decisions.ts'
import { type DatasetFacts, imagesIn } from './facts.ts'

type Given = NonNullable<Recipe['train']>

/** Images that training looks at in all, repetitions counted: enough to converge in this family. */
const VIEWS = { grey: 200_000, colour: 400_000 }
const EPOCHS = { fewest: 10, most: 60 }
const BATCH = { smallest: 16, largest: 128 }
const STEPS_PER_EPOCH = 100
const RATE_AT_64 = { sgd: 0.1, adamw: 0.001 }
/** The proportion holds up to here; larger batches would need longer warm-ups than short jobs have. */
const LARGEST_SCALED_BATCH = 256
const WARMUP = 0.1
const EMA_WINDOW = 0.05

export const chooseTraining = (
  given: Given,
  facts: DatasetFacts,
  { channels, decisions }: { readonly channels: 1 | 3; readonly decisions: Decisions }
): TrainOptions => {
  const images = imagesIn(facts, 'train')
  const batchSize = decisions.fill(
    '/train/batchSize',
    given.batchSize,
    batchFor(images),
    `about ${STEPS_PER_EPOCH} steps an epoch with ${images} training images`
  )
  const views = channels === 1 ? VIEWS.grey : VIEWS.colour
  const epochs = decisions.fill(
    '/train/epochs',
    given.epochs,
    clamp(Math.round(views / Math.max(1, images)), EPOCHS.fewest, EPOCHS.most),
    `about ${views} image views with ${images} training images, ${EPOCHS.fewest} to ${EPOCHS.most} epochs`
  )
  const optimizer = chooseOptimizer(given.optimizer, decisions)
  const rate = RATE_AT_64[optimizer.name]
  return {
    epochs,
    batchSize,
    optimizer,
    learningRate: decisions.fill(
      '/train/learningRate',
      given.learningRate,
      (rate * Math.min(batchSize, LARGEST_SCALED_BATCH)) / 64,
      `${rate} at batch 64, in proportion to the batch up to ${LARGEST_SCALED_BATCH}`
    ),
    warmupEpochs: decisions.fill(
      '/train/warmupEpochs',
      given.warmupEpochs,
      Math.min(3, Math.round(epochs * WARMUP * 100) / 100),
      'a tenth of the epochs, at most 3'
    ),
    schedule: given.schedule ?? 'cosine',
    labelSmoothing: decisions.fill(
      '/train/labelSmoothing',
      given.labelSmoothing,
      0,
      'smoothed labels would lower the scores and make a worse teacher'
    ),
    ema: decisions.fill('/train/ema', given.ema, emaFor(images, batchSize, epochs), emaReason),
    earlyStopping: decisions.fill(
      '/train/earlyStopping',
      given.earlyStopping,
      null,
      'cosine decay improves to the end, and the best epoch is kept anyway'
    )
  }
}

const emaReason = 'averages about the last twentieth of the steps'

const chooseOptimizer = (
  given: Given['optimizer'],
  decisions: Decisions
): TrainOptions['optimizer'] => {
  const fallback = { name: 'sgd' } as const
  const partial = decisions.fill('/train/optimizer', given, fallback, 'generalises best on images')
  return partial.name === 'sgd'
    ? { momentum: 0.9, nesterov: true, weightDecay: 5e-4, ...partial }
    : { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05, ...partial }
}

/** The power of two that gives about STEPS_PER_EPOCH steps. */
const batchFor = (images: number): number =>
  clamp(
    2 ** Math.floor(Math.log2(Math.max(1, images / STEPS_PER_EPOCH))),
    BATCH.smallest,
    BATCH.largest
  )

/** Decay whose memory, 1 / (1 - decay) steps, is EMA_WINDOW of the training; 3 digits. */
const emaFor = (images: number, batchSize: number, epochs: number): TrainOptions['ema'] => {
  const steps = Math.max(1, Math.ceil(images / batchSize) * epochs)
  const decay = 1 - 1 / Math.max(1, steps * EMA_WINDOW)
  return { decay: Math.min(0.999, Math.round(decay * 1000) / 1000) }
}

const clamp = (value: number, low: number, high: number): number =>
  Math.min(high, Math.max(low, value))
