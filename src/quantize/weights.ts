/**
 * Integer weights: symmetric int8 per output channel, int32 biases.
 *
 * Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.
 * arXiv:1806.08342, section 3: one scale per output channel, zero point 0. The bias is added to the
 * int32 accumulator, so its scale is that of the products: input scale · weight scale.
 */
import type { BiasQuantization, WeightQuantization } from '../network/quantization.ts'

/** Weights use -127..127: symmetric, and without the -128 that only one side has. */
const top = 127

/** Half the int32 range, so that the sum of products still fits beside the bias. */
const largestBias = 2 ** 30

export interface IntegerWeights {
  readonly kernel: WeightQuantization
  readonly bias: BiasQuantization | undefined
}

export interface WeightOptions {
  /** Number of output channels; they are the innermost axis of the kernel. */
  readonly channels: number
  /** Scale of the layer's input. */
  readonly inputScale: number
  readonly bias?: Float32Array | undefined
}

/**
 * Quantizes the kernel and bias of one layer.
 *
 * The scale of a channel is raised where its bias would not fit the accumulator otherwise (kernels that
 * are nearly zero beside their bias; ONNX Runtime's quantizer does the same).
 *
 * @throws RangeError when a value is not finite.
 */
export function quantizeWeights(kernel: Float32Array, options: WeightOptions): IntegerWeights {
  const { channels, inputScale, bias } = options
  const scales = kernelScales(kernel, options)
  return {
    kernel: {
      data: Int8Array.from(kernel, (w, i) =>
        Math.min(top, Math.max(-top, Math.round(w / (scales[i % channels] ?? 1))))
      ),
      scales
    },
    bias:
      bias &&
      quantizeBias(
        bias,
        Float32Array.from(scales, (s) => s * inputScale)
      )
  }
}

function kernelScales(
  kernel: Float32Array,
  { channels, inputScale, bias }: WeightOptions
): Float32Array {
  const largest = new Float32Array(channels)
  for (const [i, w] of kernel.entries()) {
    if (!Number.isFinite(w)) throw new RangeError(`Cannot quantize weights: received ${w}`)
    const o = i % channels
    largest[o] = Math.max(largest[o] ?? 0, Math.abs(w))
  }
  return largest.map((size, o) => {
    const biasSize = Math.abs(bias?.[o] ?? 0)
    if (!Number.isFinite(biasSize)) throw new RangeError(`Cannot quantize a bias of ${bias?.[o]}`)
    return Math.max(size / top, biasSize / (inputScale * largestBias)) || 1 // all zero: any scale
  })
}

function quantizeBias(bias: Float32Array, scales: Float32Array): BiasQuantization {
  return { data: Int32Array.from(bias, (b, o) => Math.round(b / (scales[o] ?? 1))), scales }
}
