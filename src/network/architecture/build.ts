/** From a recipe's choice of network to the graph: the table of architectures. */
import type { architectures, NetworkChoice } from '../../contract/recipe.ts'
import type { Network } from '../graph.ts'
import { validateNetwork } from '../validate.ts'
import { resnetCifar } from './resnet-cifar.ts'
import { simpleCnn } from './simple-cnn.ts'

export interface BuildOptions {
  readonly classes: number
  /** Pixels become (u8 - zeroPoint) * scale: see NetworkInput. */
  readonly scale: number
  readonly zeroPoint: number
}

type Build = (choice: NetworkChoice, options: BuildOptions) => Network

const builders: Readonly<Record<(typeof architectures)[number], Build>> = {
  'simple-cnn': (choice, options) => simpleCnn({ ...options, ...choice, size: choice.inputSize }),
  'resnet-cifar': (choice, options) =>
    resnetCifar({ ...options, ...choice, size: choice.inputSize })
}

const SMALLEST_INPUT = 8

/**
 * The network of a choice, with unset weights (`initialize.ts` draws them).
 *
 * `depth` is resnet-cifar's; simple-cnn has one depth and ignores it.
 *
 * @throws RangeError on a combination that cannot be built: depth not 6n+2, fewer than 8 pixels, fewer
 *   than 2 classes, an input scale or zero point out of range.
 */
export const buildNetwork = (choice: NetworkChoice, options: BuildOptions): Network => {
  const { architecture, inputSize, width } = choice
  if (!Object.hasOwn(builders, architecture)) refuse('there is no such architecture', architecture)
  if (!Number.isInteger(inputSize) || inputSize < SMALLEST_INPUT) {
    refuse(`inputSize must be an integer of at least ${SMALLEST_INPUT}`, inputSize)
  }
  if (!(Number.isFinite(width) && width > 0)) refuse('width must be positive', width)
  if (!Number.isInteger(options.classes) || options.classes < 2) {
    refuse('classes must be an integer of at least 2', options.classes)
  }
  const network = builders[architecture](choice, options)
  validateNetwork(network)
  return network
}

const refuse = (reason: string, received: unknown): never => {
  throw new RangeError(`Cannot build network: ${reason}, received ${JSON.stringify(received)}`)
}
