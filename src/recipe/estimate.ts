/**
 * What a job will need, before anything is queued: memory of the trainer, and arithmetic.
 *
 * Memory is counted from the graph: weights in all their copies, and the activations of one batch.
 */
import type { ResolvedRecipe } from '../contract/recipe.ts'
import { buildNetwork } from '../network/architecture/build.ts'
import { activationBytes, macs, parameters, weightBytes } from '../network/cost.ts'
import { type DatasetFacts, imagesIn } from './facts.ts'

export interface JobEstimate {
  /** Resident bytes of the trainer at its peak. */
  readonly memoryBytes: number
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
/** A backward pass is two forward passes. */
const TRAINING_PASSES = 3

/** @throws RangeError when the network of the recipe cannot be built. */
export const estimateJob = (recipe: ResolvedRecipe, facts: DatasetFacts): JobEstimate => {
  const { train, prune } = recipe
  const classes = Math.max(2, facts.classes.length)
  const network = buildNetwork(recipe.network, { classes, scale: 1 / 64, zeroPoint: 128 })
  const networkMacs = macs(network)
  const views = imagesIn(facts, 'train') * (train.epochs + (prune?.epochs ?? 0))
  return {
    memoryBytes: memoryOf(recipe, weightBytes(network), activationBytes(network)),
    parameters: parameters(network),
    macs: networkMacs,
    trainingMacs: networkMacs * TRAINING_PASSES * views
  }
}

const memoryOf = (
  { network, train, prune }: ResolvedRecipe,
  weights: number,
  activations: number
): number => {
  const slots = train.optimizer.name === 'adamw' ? 2 : 1
  // Weights, gradients, slots, average, best epoch, and a checkpoint being written.
  const copies = 4 + slots + (train.ema ? 1 : 0) + (prune ? 1 : 0)
  // The teacher's activations are needed forward only.
  const forward = ACTIVATION_COPIES + (prune ? 1 : 0)
  const { inputSize, channels } = network
  // A batch as bytes and as floats before and after augmentation.
  const pixels = inputSize * inputSize * channels * (1 + 4 + 4)
  return BASE_BYTES + weights * copies + train.batchSize * (activations * forward + pixels)
}
