/**
 * What an op is: everything that is true of it, in one file of `op/` each.
 *
 * Files under `network/` import tfjs as types only and compute with the Kernels they are handed, so the
 * api can check graphs and costs without ever loading TensorFlow.js.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { ForwardContext, Kernels } from '../tensor/kernels.ts'
import type { ChannelIds, ChannelTracer } from './channels.ts'
import type { Node, Shape } from './graph.ts'
import type { OnnxEmitter } from './onnx-form.ts'

export const opNames = [
  'conv2d',
  'depthwiseConv2d',
  'dense',
  'batchNorm',
  'relu',
  'relu6',
  'maxPool',
  'avgPool',
  'globalAvgPool',
  'add',
  'concat',
  'flatten',
  'dropout',
  'softmax'
] as const
export type OpName = (typeof opNames)[number]

/** How a parameter starts and how the optimizer treats it. */
export interface ParamRole {
  readonly init: 'he-normal' | 'glorot-uniform' | 'zeros' | 'ones'
  /** False for running statistics: they are updated by the forward pass, not by gradients. */
  readonly trainable: boolean
  /** Whether weight decay applies. True for kernels only. */
  readonly decay: boolean
  /** Whether a node may go without it (a convolution before batch norm has no bias). */
  readonly optional?: boolean
}

export interface OpDefinition {
  readonly name: OpName
  readonly roles: Readonly<Record<string, ParamRole>>
  /**
   * Output shape from input shapes, attributes and parameter shapes.
   * @throws RangeError when they do not fit together.
   */
  outputShape(inputs: readonly Shape[], node: Node): Shape
  /** Batched tensors in ([n, h, w, c] or [n, c]), one batched tensor out. */
  forward(
    kernels: Kernels,
    inputs: readonly Tensor[],
    params: Readonly<Record<string, Tensor>>,
    node: Node,
    context: ForwardContext
  ): Tensor
  /** Multiply-accumulates for one image. */
  macs(inputs: readonly Shape[], node: Node): number
  /**
   * Declares which parameter axes share channels with which tensors; returns the output's channels.
   * `shapes` are those of the inputs: flatten needs the number of positions.
   */
  channels(
    tracer: ChannelTracer,
    inputs: readonly ChannelIds[],
    node: Node,
    shapes: readonly Shape[]
  ): ChannelIds
  /** Emits the op in NCHW; returns the name of its output. */
  onnx(emitter: OnnxEmitter, inputs: readonly string[], node: Node): string
}
