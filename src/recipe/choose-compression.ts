/**
 * How to prune and quantize, for recipes that ask for it and leave open how.
 */
import type { PruneOptions, QuantizeOptions, Recipe, TrainOptions } from '../contract/recipe.ts'
import type { Decisions } from './decisions.ts'
import { type DatasetFacts, imagesIn } from './facts.ts'
import type { Preset } from './preset/balanced.ts'

const MACS = 0.5
const ROUND_TO = { int8: 16, float: 8 }
const FINE_TUNING = { epochs: 1 / 4, learningRate: 1 / 4 }
const DISTILLATION = { temperature: 4, weight: 0.7 }

/** null when no pruned variant is made. */
export const choosePruning = (
  given: Recipe['prune'],
  context: {
    readonly preset: Preset
    readonly train: TrainOptions
    readonly isQuantized: boolean
    readonly decisions: Decisions
  }
): PruneOptions | null => {
  const { preset, train, isQuantized, decisions } = context
  const wanted = decisions.fill('/prune', given, preset.prune, 'the preset makes no pruned variant')
  if (wanted === null || wanted === undefined) return null
  const open: Partial<PruneOptions> = wanted
  const fill = <K extends keyof PruneOptions>(key: K, value: PruneOptions[K], reason: string) =>
    decisions.fill<PruneOptions[K]>(`/prune/${key}`, open[key], value, reason)
  return {
    method: fill('method', 'channel', 'removes whole channels, which every runtime feels'),
    macs: fill('macs', MACS, 'half of the work, which fine-tuning usually wins back'),
    criterion: fill('criterion', 'l2', 'needs no gradients, and the sum over a group decides more'),
    roundTo: isQuantized
      ? fill('roundTo', ROUND_TO.int8, 'int8 kernels waste widths that are no multiples of 16')
      : fill('roundTo', ROUND_TO.float, 'float kernels work on 8 channels at a time'),
    epochs: fill(
      'epochs',
      Math.ceil(train.epochs * FINE_TUNING.epochs),
      'a quarter of the training'
    ),
    learningRate: fill(
      'learningRate',
      train.learningRate * FINE_TUNING.learningRate,
      'a quarter of the training rate, to repair and not to start over'
    ),
    temperature: fill('temperature', DISTILLATION.temperature, 'Hinton et al., arXiv:1503.02531'),
    distillWeight: fill('distillWeight', DISTILLATION.weight, 'mostly follow the unpruned network')
  }
}

/** null when no int8 variant is made. */
export const chooseQuantization = (
  given: Recipe['quantize'],
  facts: DatasetFacts,
  { preset, decisions }: { readonly preset: Preset; readonly decisions: Decisions }
): QuantizeOptions | null => {
  const wanted = decisions.fill(
    '/quantize',
    given,
    preset.quantize,
    'the preset makes an int8 variant'
  )
  if (wanted === null || wanted === undefined) return null
  const images = imagesIn(facts, 'train')
  return {
    precision: wanted.precision ?? 'int8',
    calibration: decisions.fill(
      '/quantize/calibration',
      wanted.calibration,
      preset.calibration,
      'clips where clipping costs least, without assuming a distribution'
    ),
    images: decisions.fill(
      '/quantize/images',
      wanted.images,
      Math.max(1, Math.min(preset.calibrationImages, images)),
      images < preset.calibrationImages
        ? `all ${images} training images`
        : 'more hardly move the ranges'
    )
  }
}
