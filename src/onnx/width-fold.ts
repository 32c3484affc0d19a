/**
 * The first convolution of an int8 graph, computed on four pixels of a row at a time.
 *
 * ONNX Runtime's fast integer convolution wants input channels in fours; for an image's 1 or 3 it gathers
 * single bytes instead, which took a third of a small network's time (18 of 49 µs, 7 with this). Seen as
 * [h, w/4, 4c], the same bytes have channels in fours, and the same sums come from a kernel that reads
 * whole groups and gives all four pixels of a group: output pixel p meets input pixel p + d of its tap d,
 *
 *   group floor((p + d) / 4), channel ((p + d) mod 4)·c + i
 *
 * Everything else in the kernel is zero, so the integers that come out are the same ones. Padding too: a
 * padded group holds four padded pixels.
 */
import type { Node, Shape } from '../network/graph.ts'
import type { QuantizedNetwork } from '../network/quantization.ts'
import type { GraphEmitter } from './emitter.ts'

/** Pixels per group. */
const pixels = 4

/** Whether the node is a convolution of the raw images that this form is for. */
export const foldsWidth = (
  node: Node,
  { network, activations, kernels, biases }: QuantizedNetwork
): boolean => {
  const [, width, channels] = network.input.shape
  const { kernel, bias } = node.params
  return (
    node.op === 'conv2d' &&
    node.inputs[0] === network.input.id &&
    node.attrs.stride === 1 &&
    node.attrs.padding === 'same' &&
    width % pixels === 0 &&
    channels % pixels !== 0 &&
    (kernel?.shape[3] ?? 1) % pixels === 0 && // the fast kernel wants outputs in sixteens
    kernels.has(kernel?.name ?? '') &&
    biases.has(bias?.name ?? '') &&
    activations.has(node.id)
  )
}

/** Emits the convolution; returns its output as [n, o, h, w], quantized. */
export const emitWidthFolded = (
  emitter: GraphEmitter,
  node: Node,
  { network, kernels, biases }: QuantizedNetwork
): string => {
  const { kernel: ref, bias: biasRef } = node.params
  const kernel = kernels.get(ref?.name ?? '')
  const bias = biases.get(biasRef?.name ?? '')
  if (ref === undefined || biasRef === undefined || kernel === undefined || bias === undefined) {
    throw new RangeError(`Cannot export '${node.id}': it has no integer kernel and bias`)
  }
  const [height, width, channels] = network.input.shape
  const folded = foldKernel(kernel.data, ref.shape)
  const [wide, , kh, groups] = folded.shape
  const scales = repeat(kernel.scales)
  const grouped = emitter.integers([0, height, width / pixels, pixels * channels])
  const integers = emitter.add('Reshape', [network.input.id, grouped])
  const image = emitter.add('Transpose', [integers], { perm: [0, 3, 1, 2] })
  const operands = [
    emitter.dequantize(image, network.input),
    emitter.integerParam(ref, folded.shape, { data: folded.data, scales }),
    emitter.integerParam(biasRef, [wide], { data: repeat(bias.data), scales: repeat(bias.scales) })
  ]
  const convolved = emitter.add('Conv', operands, {
    kernel_shape: [kh, groups],
    strides: [1, 1],
    pads: [Math.floor((kh - 1) / 2), folded.left, Math.ceil((kh - 1) / 2), folded.right]
  })
  // Back to pixels. ONNX Runtime computes with channels last, so both transposes cancel out.
  const last = emitter.add('Transpose', [emitter.settle(node, convolved)], { perm: [0, 2, 3, 1] })
  const shape = emitter.integers([0, height, width, wide / pixels])
  const unfolded = emitter.add('Reshape', [emitter.settle(node, last), shape])
  return emitter.add('Transpose', [emitter.settle(node, unfolded)], { perm: [0, 3, 1, 2] })
}

interface FoldedKernel {
  /** OIHW: [4·o, 4·i, kh, groups]. */
  readonly data: Int8Array
  readonly shape: readonly [wide: number, deep: number, height: number, groups: number]
  /** Groups of padding. */
  readonly left: number
  readonly right: number
}

/** An HWIO kernel for groups of four pixels. */
export const foldKernel = (kernel: Int8Array, shape: Shape): FoldedKernel => {
  const [kh = 0, kw = 0, channels = 0, outputs = 0] = shape
  const before = Math.floor((kw - 1) / 2) // pixels of padding, TensorFlow's 'same' at stride 1
  const left = Math.ceil(before / pixels)
  const right = Math.ceil((kw - 1 - before) / pixels)
  const groups = left + 1 + right
  const [wide, deep] = [pixels * outputs, pixels * channels]
  const data = new Int8Array(wide * deep * kh * groups)
  for (const [index, weight] of kernel.entries()) {
    const o = index % outputs
    const i = Math.floor(index / outputs) % channels
    const x = Math.floor(index / (outputs * channels)) % kw
    const y = Math.floor(index / (outputs * channels * kw))
    for (let p = 0; p < pixels; p++) {
      const from = p + x - before + left * pixels
      const group = Math.floor(from / pixels)
      const channel = (from % pixels) * channels + i
      data[(((p * outputs + o) * deep + channel) * kh + y) * groups + group] = weight
    }
  }
  return { data, shape: [wide, deep, kh, groups], left, right }
}

/** Once per pixel of a group. */
const repeat = <T extends Float32Array | Int32Array>(values: T): T => {
  const repeated = new (values.constructor as new (length: number) => T)(values.length * pixels)
  for (let p = 0; p < pixels; p++) repeated.set(values, p * values.length)
  return repeated
}
