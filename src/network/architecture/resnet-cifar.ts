/**
 * The CIFAR ResNets of depth 6n+2: three stages of n blocks, widths 16-32-64.
 *
 * He et al., "Deep Residual Learning for Image Recognition", 2015. arXiv:1512.03385, section 4.2. Where
 * the width changes, the shortcut is a 1x1 convolution (the paper's option B; its CIFAR figures use
 * option A, zero padding without parameters, which int8 kernels cannot fuse). Padding is TensorFlow's.
 */
import type { Network } from '../graph.ts'
import { type InputOptions, type Layers, layers, scaledWidth, type Tap } from './layers.ts'

export interface ResnetCifarOptions extends InputOptions {
  /** Weighted layers on the main path: 6n+2 (20, 32, 44, 56, 110). */
  readonly depth: number
  /** Multiplier of all widths. */
  readonly width: number
}

const WIDTHS = [16, 32, 64]

/** @throws RangeError when the depth is not 6n+2 with n of 1 or more. */
export const resnetCifar = (options: ResnetCifarOptions): Network => {
  const { depth } = options
  const blocks = (depth - 2) / 6
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw new RangeError(`Cannot build resnet-cifar: depth must be 6n+2, received ${depth}`)
  }
  const build = layers(options)
  const widths = WIDTHS.map((width) => scaledWidth(width, options.width))
  const first = { filters: widths[0] as number, size: 3, stride: 1 }
  let x = build.relu('stem-relu', build.conv('stem', build.images, first))
  for (const [stage, filters] of widths.entries()) {
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      x = residual(build, `stage${stage + 1}-block${block + 1}`, x, { filters, stride })
    }
  }
  return build.classify(build.add('pool', 'globalAvgPool', [x]), options.classes)
}

const residual = (
  build: Layers,
  name: string,
  from: Tap,
  { filters, stride }: { readonly filters: number; readonly stride: number }
): Tap => {
  const inner = build.conv(`${name}-conv1`, from, { filters, size: 3, stride })
  const active = build.relu(`${name}-relu1`, inner)
  const main = build.conv(`${name}-conv2`, active, { filters, size: 3, stride: 1 })
  const isSame = stride === 1 && from.shape.at(-1) === filters
  const shortcut = isSame
    ? from
    : build.conv(`${name}-shortcut`, from, { filters, size: 1, stride })
  return build.relu(`${name}-relu2`, build.add(`${name}-add`, 'add', [main, shortcut]))
}
