/**
 * What an op file may ask of the ONNX exporter. Implemented by `onnx/emitter.ts`.
 *
 * Tensors are NCHW in the emitted graph; `weight` transposes from our layouts and, in a quantized
 * export, emits the integer initializer with its DequantizeLinear instead of the float one.
 */
import type { Node, Shape } from './graph.ts'

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number }

export interface WeightLayout {
  /** Axis i of the result is axis permutation[i]. */
  readonly permutation?: readonly number[]
  /** Then the result is given this shape. */
  readonly shape?: Shape
  /** The axis of output channels in the result; the scales of a quantized kernel run along it. Default 0. */
  readonly channelAxis?: number
}

export interface OnnxEmitter {
  /** Adds a node with one output and returns that output's name. Numbers are INT, {float} is FLOAT. */
  add(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, OnnxAttribute>>
  ): string
  /** A parameter as initializer, in the layout given. */
  weight(node: Node, role: string, layout?: WeightLayout): string
  /** An int64 constant (shapes, axes). */
  integers(values: readonly number[]): string
  /** A float32 constant without dimensions. */
  scalar(value: number): string
  /**
   * Quantizes an intermediate result the way the node's output will be; in a float export, nothing.
   *
   * ONNX Runtime fuses `DQ → op → Q` one op at a time, so a node that takes two ops settles between them.
   */
  settle(node: Node, name: string): string
  /** Our shape ([h, w, c] or [c]) of a node's output or of `images`. */
  shapeOf(id: string): Shape
}
