/**
 * Gradient of a depthwise kernel, for backends without DepthwiseConv2dNativeBackpropFilter.
 *
 *   dK[r, c, i, m] = sum over n, y, x of  padded[n, y * s + r, x * s + c, i] * dy[n, y, x, i * M + m]
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor4D } from '@tensorflow/tfjs-core'
import {
  type ConvolutionAttributes,
  convolutionInfo,
  kernelWindows,
  type Shape4D
} from './kernel-windows.ts'

export const depthwiseConv2dBackpropFilter = (
  tf: typeof TF,
  { x, dy }: { readonly x: Tensor4D; readonly dy: Tensor4D },
  attributes: ConvolutionAttributes & { readonly filterShape: Shape4D }
): Tensor4D =>
  tf.tidy(() => {
    const { filterShape } = attributes
    const [, , channels, multiplier] = filterShape
    const info = convolutionInfo(tf, x.shape, filterShape, attributes, true)
    const slopes = tf.reshape(dy, [-1, channels, multiplier]) // [n, h', w', i*m] -> [n*h'*w', i, m]
    const parts = kernelWindows(tf, x, info).map((window) =>
      tf.sum(tf.mul(tf.reshape(window, [-1, channels, 1]), slopes), 0)
    )
    return tf.reshape(tf.stack(parts), filterShape) // [r*c, i, m] -> [r, c, i, m]
  })
