/**
 * A small convolutional network: conv 32-64-128 with 2x2 max pooling, dense 128, classifier.
 *
 * The pattern of LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, with batch
 * norm after every layer and dropout before the classifier, where no batch norm follows to be disturbed.
 */
import type { Network } from '../graph.ts'
import { type InputOptions, layers, scaledWidth } from './layers.ts'

export interface SimpleCnnOptions extends InputOptions {
  /** Multiplier of all widths. */
  readonly width: number
}

const FILTERS = [32, 64, 128]
const UNITS = 128
const DROPOUT = 0.25

/** @throws RangeError when the images are too small for three poolings (8 pixels are needed). */
export const simpleCnn = (options: SimpleCnnOptions): Network => {
  const build = layers(options)
  let x = build.images
  for (const [index, width] of FILTERS.entries()) {
    const name = `conv${index + 1}`
    const filters = scaledWidth(width, options.width)
    x = build.relu(`${name}-relu`, build.conv(name, x, { filters, size: 3, stride: 1 }))
    const attrs = { size: 2, stride: 2, padding: 'valid' }
    x = build.add(`pool${index + 1}`, 'maxPool', [x], { attrs })
  }
  x = build.add('flat', 'flatten', [x])
  x = build.relu('dense-relu', build.dense('dense', x, scaledWidth(UNITS, options.width)))
  x = build.add('dropout', 'dropout', [x], { attrs: { rate: DROPOUT } })
  return build.classify(x, options.classes)
}
