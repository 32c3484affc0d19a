/**
 * Gradient of a convolution's kernel, for backends without the kernel Conv2DBackpropFilter.
 *
 *   dK[r, c, i, o] = sum over n, y, x of  padded[n, y * s + r, x * s + c, i] * dy[n, y, x, o]
 *
 * One matrix product per kernel position.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor4D } from '@tensorflow/tfjs-core'
import {
  type ConvolutionAttributes,
  convolutionInfo,
  kernelWindows,
  type Shape4D
} from './kernel-windows.ts'

export const conv2dBackpropFilter = (
  tf: typeof TF,
  { x, dy }: { readonly x: Tensor4D; readonly dy: Tensor4D },
  attributes: ConvolutionAttributes & { readonly filterShape: Shape4D }
): Tensor4D =>
  tf.tidy(() => {
    const info = convolutionInfo(tf, x.shape, attributes.filterShape, attributes, false)
    const slopes = tf.reshape(dy, [-1, info.outChannels]) // [n, h', w', o] -> [n*h'*w', o]
    const parts = kernelWindows(tf, x, info).map((window) => {
      const pixels = tf.reshape(window, [-1, info.inChannels]) // [n, h', w', i] -> [n*h'*w', i]
      return tf.matMul(pixels, slopes, true, false)
    })
    return tf.reshape(tf.stack(parts), attributes.filterShape) // [r*c, i, o] -> [r, c, i, o]
  })
