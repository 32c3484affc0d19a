/**
 * Gradient of a depthwise convolution's input, for backends without DepthwiseConv2dNativeBackpropInput.
 *
 *   dPadded[n, y * s + r, x * s + c, i] += sum over m of  dy[n, y, x, i * M + m] * K[r, c, i, m]
 *
 * dy is spread out by the stride once; every kernel position adds it, weighted and shifted.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core'
import { type ConvolutionAttributes, convolutionInfo, type Shape4D } from './kernel-windows.ts'

export const depthwiseConv2dBackpropInput = (
  tf: typeof TF,
  { dy, filter }: { readonly dy: Tensor4D; readonly filter: Tensor4D },
  attributes: ConvolutionAttributes & { readonly inputShape: Shape4D }
): Tensor4D =>
  tf.tidy(() => {
    const { inputShape } = attributes
    const [, height, width, channels] = inputShape
    const [rows, columns, , multiplier] = filter.shape
    const info = convolutionInfo(tf, inputShape, filter.shape, attributes, true)
    const { top, bottom, left, right } = info.padInfo
    const paddedHeight = height + top + bottom
    const paddedWidth = width + left + right
    const spread = spreadByStride(tf, dy, info.strideHeight, info.strideWidth)
    const [n, spreadHeight, spreadWidth] = spread.shape
    const slopes = tf.reshape(spread, [n, spreadHeight, spreadWidth, channels, multiplier])
    let sum: Tensor4D = tf.zeros([n, paddedHeight, paddedWidth, channels])
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const weights = tf.reshape(
          tf.slice(filter, [row, column, 0, 0], [1, 1, channels, multiplier]),
          [channels, multiplier]
        )
        const part = tf.sum(tf.mul(slopes, weights), 4) as Tensor4D
        const shifted = tf.pad(part, [
          [0, 0],
          [row, paddedHeight - spreadHeight - row],
          [column, paddedWidth - spreadWidth - column],
          [0, 0]
        ])
        sum = tf.add(sum, shifted)
      }
    }
    return tf.slice(sum, [0, top, left, 0], inputShape)
  })

/** [n, h, w, c] -> [n, (h - 1) * sh + 1, (w - 1) * sw + 1, c], zeros between. */
const spreadByStride = (tf: typeof TF, x: Tensor4D, sh: number, sw: number): Tensor4D => {
  const [n, h, w, c] = x.shape
  const apart: Tensor = tf.pad(tf.reshape(x, [n, h, 1, w, 1, c]), [
    [0, 0],
    [0, 0],
    [0, sh - 1],
    [0, 0],
    [0, sw - 1],
    [0, 0]
  ])
  const joined = tf.reshape(apart, [n, h * sh, w * sw, c]) as Tensor4D
  return tf.slice(joined, [0, 0, 0, 0], [n, (h - 1) * sh + 1, (w - 1) * sw + 1, c])
}
