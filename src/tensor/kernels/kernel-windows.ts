/**
 * The positions of a convolution kernel, each with the part of the padded input that it touches.
 *
 * Both filter gradients below are sums over kernel positions; this is their common walk.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor4D } from '@tensorflow/tfjs-core'

export interface ConvolutionAttributes {
  readonly strides: number | [number, number]
  readonly pad: 'same' | 'valid' | number
}

export type Shape4D = [number, number, number, number]

export const convolutionInfo = (
  tf: typeof TF,
  xShape: Shape4D,
  kernelShape: Shape4D,
  { strides, pad }: ConvolutionAttributes,
  depthwise: boolean
) => tf.backend_util.computeConv2DInfo(xShape, kernelShape, strides, 1, pad, undefined, depthwise)

type ConvolutionInfo = ReturnType<typeof convolutionInfo>

/** For kernel position (0, 0), (0, 1), ...: every stride-th pixel that it meets, [n, h', w', i]. */
export const kernelWindows = (tf: typeof TF, x: Tensor4D, info: ConvolutionInfo): Tensor4D[] => {
  const { strideHeight, strideWidth, outHeight, outWidth, padInfo } = info
  const { top, bottom, left, right } = padInfo
  const padded = tf.pad(x, [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0]
  ])
  const windows: Tensor4D[] = []
  for (let row = 0; row < info.filterHeight; row++) {
    for (let column = 0; column < info.filterWidth; column++) {
      const end = [
        info.batchSize,
        row + (outHeight - 1) * strideHeight + 1,
        column + (outWidth - 1) * strideWidth + 1,
        info.inChannels
      ]
      const stride = [1, strideHeight, strideWidth, 1]
      windows.push(tf.stridedSlice(padded, [0, row, column, 0], end, stride) as Tensor4D)
    }
  }
  return windows
}
