/**
 * What a job will need, before anything is queued: memory of the trainer, disk, and arithmetic.
 *
 * Memory is counted from the graph: weights in all their copies, and the activations of one batch, in
 * whichever stage these are the most: some read batches of a size that no recipe can change. Disk
 * is counted from the images (once as they came, once as pixels) and from weights in their copies.
 */
import type { EvaluationTask } from '../contract/evaluation.ts'
import type { ResolvedRecipe } from '../contract/recipe.ts'
import { buildNetwork } from '../network/architecture/build.ts'
import { activationBytes, macs, parameters, weightBytes } from '../network/cost.ts'
import type { Network } from '../network/graph.ts'
import { type DatasetFacts, imagesIn } from './facts.ts'

/** Stages that hold the activations of a batch. */
export type MemoryStage = 'train' | 'prune' | 'evaluate'

export interface JobEstimate {
  /** Resident bytes of the trainer at its peak, and the stage that takes them. */
  readonly memoryBytes: number
  readonly memoryStage: MemoryStage
  /** Of a worker's disk: images, pack, checkpoints and artifacts. */
  readonly diskBytes: number
  /** Of the api's disk while the job runs: checkpoints and artifacts. */
  readonly storedBytes: number
  /** Of the unpruned network. */
  readonly parameters: number
  readonly macs: number
  /** Multiply-accumulates of all training, fine-tuning included. */
  readonly trainingMacs: number
}

/** Node, TensorFlow and ONNX Runtime with nothing loaded. */
const BASE_BYTES = 600 * 2 ** 20
/** Forward activations are kept for the backward pass, whose gradients are as large again at most. */
const ACTIVATION_COPIES = 2
/** Images at a time that pruning samples (`train/sample.ts`), and that exported files are asked. */
const SAMPLED = 128
const EVALUATED = 64
/** A backward pass is two forward passes. */
const TRAINING_PASSES = 3

/** Two are kept, one is on its way. */
const CHECKPOINTS = 3
/** A tar file has a header before each entry and fills its last block; a manifest has a line. */
const BYTES_PER_ENTRY = 512 + 512 + 200
/** Of a confusion matrix in JSON, and how many variants have one. */
const BYTES_PER_CELL = 8
const MOST_VARIANTS = 3
/** Graph, labels, and the frame of everything. */
const SMALL_FILES_BYTES = 2 ** 20

/** @throws RangeError when the network of the recipe cannot be built. */
export const estimateJob = (recipe: ResolvedRecipe, facts: DatasetFacts): JobEstimate => {
  const { train, prune } = recipe
  const classes = Math.max(2, facts.classes.length)
  const network = buildNetwork(recipe.network, { classes, scale: 1 / 64, zeroPoint: 128 })
  const networkMacs = macs(network)
  const storedBytes = storedOf(recipe, weightBytes(network), classes)
  const views = imagesIn(facts, 'train') * (train.epochs + (prune?.epochs ?? 0))
  return {
    ...memoryOf(recipe, facts, network),
    diskBytes: dataOf(recipe, facts) + storedBytes,
    storedBytes,
    parameters: parameters(network),
    macs: networkMacs,
    trainingMacs: networkMacs * TRAINING_PASSES * views
  }
}

const memoryOf = (
  { network: { inputSize, channels }, train, prune }: ResolvedRecipe,
  facts: DatasetFacts,
  network: Network
): Pick<JobEstimate, 'memoryBytes' | 'memoryStage'> => {
  const slots = train.optimizer.name === 'adamw' ? 2 : 1
  // Weights, gradients, slots, average, best epoch, and a checkpoint being written.
  const copies = 4 + slots + (train.ema ? 1 : 0) + (prune ? 1 : 0)
  // A batch as bytes and as floats before and after augmentation.
  const pixels = inputSize * inputSize * channels * (1 + 4 + 4)
  const activations = activationBytes(network)
  const batch = (images: number, passes: number): number => images * (activations * passes + pixels)
  const gradients = prune?.criterion === 'taylor' ? ACTIVATION_COPIES : 1
  const stages = [
    // The teacher's activations are needed forward only.
    ['train', batch(train.batchSize, ACTIVATION_COPIES + (prune ? 1 : 0))],
    ['prune', prune ? batch(Math.min(SAMPLED, imagesIn(facts, 'train')), gradients) : 0],
    ['evaluate', batch(Math.min(EVALUATED, facts.images), 1)]
  ] as const
  const [memoryStage, bytes] = stages.reduce((most, stage) => (stage[1] > most[1] ? stage : most))
  return { memoryBytes: BASE_BYTES + weightBytes(network) * copies + bytes, memoryStage }
}

/** Checkpoints and artifacts of a job. */
const storedOf = (
  { train, prune, quantize }: ResolvedRecipe,
  weights: number,
  classes: number
): number => {
  const slots = train.optimizer.name === 'adamw' ? 2 : 1
  // Of a checkpoint: weights, slots, average, best epoch, the finished baseline and what is pruned.
  const copies = 3 + slots + (train.ema ? 1 : 0) + (prune ? 1 : 0)
  // As safetensors and as ONNX; int8 takes a quarter, and its scales.
  const files = (prune ? 4 : 2) + (quantize ? 0.5 : 0)
  const report = classes * classes * BYTES_PER_CELL * MOST_VARIANTS
  return Math.ceil(weights * (copies * CHECKPOINTS + files)) + report + SMALL_FILES_BYTES
}

/** Bytes of a worker's disk that judging a published version takes: images, pack, models, checkpoints. */
export const estimateEvaluation = (
  { network, labels, variants }: EvaluationTask,
  facts: DatasetFacts
): number => {
  const models = variants.reduce((sum, { bytes }) => sum + bytes, 0)
  const found = variants.length * (labels.length ** 2 * BYTES_PER_CELL + facts.images * 2)
  return dataOf({ network }, facts) + models + found * CHECKPOINTS + SMALL_FILES_BYTES
}

/** The dataset as a worker fetches it, and its pack. */
const dataOf = (
  { network }: { readonly network: Pick<ResolvedRecipe['network'], 'inputSize' | 'channels'> },
  { images, bytes }: DatasetFacts
): number => {
  const { inputSize, channels } = network
  return bytes + images * (BYTES_PER_ENTRY + inputSize * inputSize * channels + 4)
}
