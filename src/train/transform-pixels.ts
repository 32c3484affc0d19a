/**
 * Applies drawn augmentation inside a step: one resampling, one affine map of the colours.
 *
 * The draw itself is `augment/`'s, on the host, as two small matrices per image; pixels are touched only
 * here. Images that are stored larger than the network's input are resized by the same resampling.
 */
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core'
import { drawAugmentation } from '../augment/draw.ts'
import type { AugmentOp } from '../contract/recipe.ts'
import type { ImageSource } from '../image/source.ts'
import type { Network } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import type { Feed, InputSpec, Tensors } from '../tensor/program.ts'

export interface PixelTransform {
  /** Inputs that the step needs besides `images`. */
  readonly inputs: Readonly<Record<string, InputSpec>>
  /** Their values for the images at `positions`. */
  draw(seed: number, epoch: number, positions: ArrayLike<number>): Readonly<Record<string, Feed>>
  /** float32 [n, stored, stored, c], 0..255 -> [n, input, input, c], 0..255. */
  apply(images: Tensor, inputs: Tensors): Tensor
}

/** @throws RangeError when the source's images do not fit the network, or an op not the images. */
export const pixelTransform = (
  engine: Pick<Engine, 'tf' | 'kernels'>,
  network: Network,
  source: Pick<ImageSource, 'size' | 'channels'>,
  batch: number,
  ops: readonly AugmentOp[] = []
): PixelTransform => {
  const [inputSize, , channels] = network.input.shape
  const { size } = source
  if (source.channels !== channels) {
    const received = `received ${source.channels}`
    throw new RangeError(`Cannot feed the network: it takes ${channels} channels, ${received}`)
  }
  const options = { size, inputSize, channels: source.channels }
  const draw: PixelTransform['draw'] = (seed, epoch, samples) => {
    const { matrices, colour } = drawAugmentation(ops, { seed, epoch, samples, ...options })
    return { ...(matrices && { matrices }), ...(colour && { colour }) }
  }
  const widths = { matrices: 8, colour: 12 } as const
  const drawn = Object.keys(draw(0, 1, [0])) as (keyof typeof widths)[]
  return {
    inputs: Object.fromEntries(
      drawn.map((name) => [name, { shape: [batch, widths[name]], dtype: 'float32' } as const])
    ),
    draw,
    apply(images, { matrices, colour }) {
      const extent = { height: inputSize, width: inputSize, fill: 'reflect' } as const
      const moved = matrices
        ? engine.kernels.projectiveTransform(images as Tensor4D, matrices, extent)
        : images
      return colour ? recolour(engine, moved, colour) : moved
    }
  }
}

/** colour [n, 12], a 3x4 matrix per image: out = M [r, g, b, 1], or M[0] v + M[3] for one channel. */
const recolour = ({ tf }: Pick<Engine, 'tf'>, images: Tensor, colour: Tensor): Tensor => {
  const [n, h, w, c] = images.shape as [number, number, number, number]
  const maps = tf.reshape(colour, [n, 3, 4])
  const pixels = tf.reshape(images, [n, h * w, c]) as Tensor3D
  const linear = tf.slice(maps, [0, 0, 0], [n, c, c])
  const offset = tf.reshape(tf.slice(maps, [0, 0, 3], [n, c, 1]), [n, 1, c])
  const mapped =
    c === 1 ? tf.mul(pixels, linear) : tf.matMul(pixels, linear as Tensor3D, false, true)
  return tf.reshape(tf.clipByValue(tf.add(mapped, offset), 0, 255), [n, h, w, c])
}
