/**
 * Which network, and how large its input: from the images' sizes and whether they have colour.
 *
 * Sized so that two CPU cores train in minutes: a job that wants more says so.
 */
import type { NetworkChoice, Recipe } from '../contract/recipe.ts'
import type { Decisions } from './decisions.ts'
import type { DatasetFacts } from './facts.ts'

/** Sides are multiples of 4, so that integer kernels and poolings divide them. */
const MULTIPLE = 4
const SMALLEST = 8
const LARGEST = 64
/** Beyond this aspect ratio stretching to a square deforms what is seen. */
const SQUARE_ENOUGH = 4 / 3

export const SIMPLE_CNN_DEPTH = 5
const RESNET_DEPTH = 20

export const chooseNetwork = (
  given: NonNullable<Recipe['network']>,
  facts: DatasetFacts,
  decisions: Decisions
): NetworkChoice => {
  const [channels, whyChannels] = chooseChannels(facts)
  const [inputSize, whySize] = chooseSize(facts)
  const [resize, whyResize] = chooseResize(facts)
  const chosenChannels = decisions.fill('/network/channels', given.channels, channels, whyChannels)
  const [architecture, why] = chooseArchitecture(given.depth, chosenChannels)
  const family = decisions.fill('/network/architecture', given.architecture, architecture, why)
  const [depth, whyDepth] =
    family === 'simple-cnn'
      ? ([SIMPLE_CNN_DEPTH, 'simple-cnn has five weighted layers'] as const)
      : ([RESNET_DEPTH, 'the smallest resnet-cifar of the paper'] as const)
  return {
    architecture: family,
    depth: decisions.fill('/network/depth', given.depth, depth, whyDepth),
    width: decisions.fill('/network/width', given.width, 1, 'the widths of the architecture'),
    inputSize: decisions.fill('/network/inputSize', given.inputSize, inputSize, whySize),
    channels: chosenChannels,
    resize: decisions.fill('/network/resize', given.resize, resize, whyResize)
  }
}

type Chosen<T> = readonly [value: T, reason: string]

const chooseChannels = ({ grey }: DatasetFacts): Chosen<1 | 3> =>
  grey ? [1, 'every image is grey'] : [3, 'some images have colour']

const chooseArchitecture = (
  depth: number | undefined,
  channels: 1 | 3
): Chosen<NetworkChoice['architecture']> => {
  if (depth === SIMPLE_CNN_DEPTH) return ['simple-cnn', `depth is ${depth}`]
  if (depth !== undefined) return ['resnet-cifar', `depth is ${depth}`]
  return channels === 1
    ? ['simple-cnn', 'grey images need little: few layers train and answer fastest']
    : ['resnet-cifar', 'colour images gain from residual layers']
}

const chooseSize = ({ width, height }: DatasetFacts): Chosen<number> => {
  const median = Math.min(width.median, height.median)
  const rounded = Math.round(median / MULTIPLE) * MULTIPLE
  const size = Math.min(LARGEST, Math.max(SMALLEST, rounded))
  if (size === median) return [size, `median side is ${median}`]
  if (size === LARGEST) {
    return [size, `median side is ${median}; ${LARGEST} keeps training on two cores in minutes`]
  }
  return [size, `median side is ${median}, taken to a multiple of ${MULTIPLE}`]
}

const chooseResize = ({ width, height }: DatasetFacts): Chosen<NetworkChoice['resize']> => {
  const ratio = Math.max(width.median / height.median, height.median / width.median)
  const shown = ratio.toFixed(2)
  return ratio <= SQUARE_ENOUGH
    ? ['stretch', `median sides differ by a factor of ${shown}, stretching hardly shows`]
    : ['contain', `median sides differ by a factor of ${shown}, stretching would deform`]
}
