/**
 * What the schema cannot say of a recipe: members that contradict each other or the dataset.
 *
 * All faults at once, with pointers into the job body (`/recipe/network/depth`). Works on the resolved
 * recipe: what was filled in cannot be at fault, except where the dataset is.
 */
import { augmentFaults } from '../augment/transforms.ts'
import type { NetworkChoice, ResolvedRecipe } from '../contract/recipe.ts'
import type { Fault } from '../errors.ts'
import { SIMPLE_CNN_DEPTH } from './choose-network.ts'
import { type DatasetFacts, imagesIn } from './facts.ts'

/** @returns every fault of the recipe itself and of using it on this dataset; empty when there is none. */
export const checkRecipe = (recipe: ResolvedRecipe, facts: DatasetFacts): readonly Fault[] => [
  ...datasetFaults(facts),
  ...depthFaults(recipe.network),
  ...augmentationFaults(recipe),
  ...trainingFaults(recipe),
  ...calibrationFaults(recipe, facts)
]

const datasetFaults = (facts: DatasetFacts): readonly Fault[] => {
  const { classes } = facts
  const fault = (detail: string, received: unknown): Fault => ({
    pointer: '/dataset',
    detail: `Cannot train on the dataset: ${detail}`,
    received
  })
  if (classes.length < 2) {
    return [fault(`at least 2 classes are needed, received ${classes.length}`, classes.length)]
  }
  const empty = classes.filter(({ train }) => train === 0).map(({ label }) => label)
  const faults = empty.map((label) => fault(`class ${label} has no training image`, label))
  for (const split of ['validation', 'test'] as const) {
    if (imagesIn(facts, split) === 0) faults.push(fault(`its ${split} split holds no image`, 0))
  }
  return faults
}

const depthFaults = ({ architecture, depth }: NetworkChoice): readonly Fault[] => {
  const wrong = (rule: string): readonly Fault[] => [
    {
      pointer: '/recipe/network/depth',
      detail: `Cannot build ${architecture}: its depth is ${rule}, received ${depth}`,
      received: depth
    }
  ]
  if (architecture === 'simple-cnn') return depth === SIMPLE_CNN_DEPTH ? [] : wrong('5')
  return depth >= 8 && (depth - 2) % 6 === 0 ? [] : wrong('6n+2 (8, 14, 20, 26, 32, ...)')
}

const augmentationFaults = ({ augment, network }: ResolvedRecipe): readonly Fault[] =>
  augment.flatMap((op, index) => {
    const pointer = `/recipe/augment/${index}`
    const faults = augmentFaults(op, network.channels).map((fault) => {
      return { ...fault, pointer: `${pointer}${fault.pointer}` }
    })
    if (op.op !== 'randomCrop' || op.padding < network.inputSize) return faults
    const detail = `Cannot crop: padding must be below the input size ${network.inputSize}, received ${op.padding}`
    return [...faults, { pointer: `${pointer}/padding`, detail, received: op.padding }]
  })

const trainingFaults = ({ train }: ResolvedRecipe): readonly Fault[] => {
  const { epochs, warmupEpochs } = train
  if (warmupEpochs < epochs) return []
  const detail = `Cannot warm up for ${warmupEpochs} epochs: training ends after ${epochs}`
  return [{ pointer: '/recipe/train/warmupEpochs', detail, received: warmupEpochs }]
}

const calibrationFaults = ({ quantize }: ResolvedRecipe, facts: DatasetFacts): readonly Fault[] => {
  const images = imagesIn(facts, 'train')
  // A dataset without training images has been named already.
  if (quantize === null || quantize.images <= images || images === 0) return []
  const detail = `Cannot calibrate on ${quantize.images} images: the training split holds ${images}`
  return [{ pointer: '/recipe/quantize/images', detail, received: quantize.images }]
}
