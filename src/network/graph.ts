/**
 * Networks are data: one JSON graph plus named weights (design, promise 5).
 *
 * A Network is plain JSON in topological order. Channel counts stand only in parameter shapes, never
 * in attributes, so pruning rewrites shapes and weights and nothing else. Tensors are NHWC without the
 * batch dimension: [h, w, c] or [c]. Kernels are HWIO (conv), HWIM (depthwise, M = multiplier), IO (dense).
 */
import type { OpName } from './op.ts'

export type Shape = readonly number[]

export type Attributes = Readonly<Record<string, number | string | boolean | readonly number[]>>

/** A named parameter of a node: key into Weights, and its shape. */
export interface ParamRef {
  readonly name: string
  readonly shape: Shape
}

export interface Node {
  /** Unique; names the node's single output tensor. */
  readonly id: string
  readonly op: OpName
  /** Ids of earlier nodes, or `images`. */
  readonly inputs: readonly string[]
  readonly attrs: Attributes
  readonly params: Readonly<Record<string, ParamRef>>
}

/**
 * The network's input: uint8 pixels u, normalised to x = (u - zeroPoint) * scale.
 *
 * One scale and an integer zero point for all channels make the uint8 image itself a quantized tensor:
 * the int8 variant reads pixels without any float step, and zero padding is the pixel `zeroPoint`.
 */
export interface NetworkInput {
  readonly id: 'images'
  readonly shape: readonly [height: number, width: number, channels: number]
  readonly scale: number
  readonly zeroPoint: number
}

export interface Network {
  readonly format: 'whittle-network-1'
  readonly input: NetworkInput
  readonly nodes: readonly Node[]
  /** Id of the final softmax node. Its input is the logits. */
  readonly output: string
}

/** Parameter name → values, in the layout of its ParamRef. */
export type Weights = ReadonlyMap<string, Float32Array>
