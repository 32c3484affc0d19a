/**
 * What makes a network an int8 network: scales, zero points and integer weights.
 *
 * Made by `quantize/`, written to ONNX by `onnx/`; it lives here because neither imports the other.
 * Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference", 2017. arXiv:1712.05877: real = scale * (quantized - zeroPoint).
 */
import type { Network, Weights } from './graph.ts'

export interface ActivationQuantization {
  readonly scale: number
  /** uint8. */
  readonly zeroPoint: number
}

/** Symmetric int8, zero point 0, one scale per output channel (last axis, or IO-combined for depthwise). */
export interface WeightQuantization {
  readonly data: Int8Array
  readonly scales: Float32Array
}

/** int32 with scale = input scale * weight scale of the channel. */
export interface BiasQuantization {
  readonly data: Int32Array
  readonly scales: Float32Array
}

export interface QuantizedNetwork {
  /** Batch norm folded; relu and relu6 folded into the range of the node before where possible. */
  readonly network: Network
  /** Float weights of the folded network: used where a parameter has no integer form. */
  readonly weights: Weights
  /** By node id: quantization of the node's output. A node without an entry stays float. */
  readonly activations: ReadonlyMap<string, ActivationQuantization>
  /** By parameter name. */
  readonly kernels: ReadonlyMap<string, WeightQuantization>
  readonly biases: ReadonlyMap<string, BiasQuantization>
}
