/**
 * What an op file may ask of the ONNX exporter. Implemented by `onnx/emitter.ts`.
 *
 * Tensors are NCHW in the emitted graph; `weight` transposes from our layouts and, in a quantized
 * export, emits the integer initializer with its DequantizeLinear instead of the float one.
 */
import type { Node, Shape } from './graph.ts'

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number }

export interface OnnxEmitter {
  /** Adds a node with one output and returns that output's name. Numbers are INT, {float} is FLOAT. */
  add(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, OnnxAttribute>>
  ): string
  /** A parameter as initializer, its axes permuted by `permutation` and then reshaped to `shape`. */
  weight(
    node: Node,
    role: string,
    layout?: { readonly permutation?: readonly number[]; readonly shape?: Shape }
  ): string
  /** An int64 constant (shapes, axes). */
  integers(values: readonly number[]): string
  /** Our shape ([h, w, c] or [c]) of a node's output or of `images`. */
  shapeOf(id: string): Shape
}
