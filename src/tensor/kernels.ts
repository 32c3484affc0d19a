/**
 * The operations that network ops, losses and optimizers are written in.
 *
 * One interface, two makings: `tensor/tensorflow.ts` (fused raw TensorFlow ops, recordable) and
 * `tensor/portable.ts` (tfjs-core composites: wasm). All tensors are float32 unless stated.
 */
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core'

export type Padding = 'same' | 'valid'

export interface ConvOptions {
  readonly stride: number
  readonly padding: Padding
}

export interface PoolOptions {
  readonly size: number
  readonly stride: number
  readonly padding: Padding
}

export interface BatchNormOptions {
  readonly epsilon: number
}

export interface DropoutOptions {
  readonly rate: number
  /** int32 [2]. */
  readonly seed: Tensor
  readonly salt: number
}

export interface NormalizeOptions {
  readonly scale: number
  readonly zeroPoint: number
}

export interface BatchNormResult {
  readonly y: Tensor
  /** Batch statistics [c]; the variance is the biased one on every engine. */
  readonly mean: Tensor
  readonly variance: Tensor
}

/** All of these are differentiable in their tensor arguments. */
export interface Kernels {
  /** x [n, h, w, i], kernel [kh, kw, i, o] → [n, h', w', o]. */
  conv2d(x: Tensor, kernel: Tensor, options: ConvOptions): Tensor
  /** x [n, h, w, i], kernel [kh, kw, i, m] → [n, h', w', i*m]. */
  depthwiseConv2d(x: Tensor, kernel: Tensor, options: ConvOptions): Tensor
  /** x [n, i], kernel [i, o] → [n, o]. */
  matMul(x: Tensor, kernel: Tensor): Tensor
  /** Adds bias [c] along the last axis. */
  biasAdd(x: Tensor, bias: Tensor): Tensor
  /** Normalises by the statistics of the batch and returns them (they carry no gradient). */
  batchNormTraining(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    options: BatchNormOptions
  ): BatchNormResult
  /** Normalises by given statistics. */
  batchNormInference(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    statistics: { readonly mean: Tensor; readonly variance: Tensor } & BatchNormOptions
  ): Tensor
  relu(x: Tensor): Tensor
  relu6(x: Tensor): Tensor
  maxPool(x: Tensor, options: PoolOptions): Tensor
  avgPool(x: Tensor, options: PoolOptions): Tensor
  /** [n, h, w, c] → [n, c]. */
  globalAvgPool(x: Tensor): Tensor
  add(a: Tensor, b: Tensor): Tensor
  concat(xs: readonly Tensor[], axis: number): Tensor
  /** (x - zeroPoint) * scale, in this order: what DequantizeLinear does to the pixels when serving. */
  normalize(x: Tensor, options: NormalizeOptions): Tensor
  reshape(x: Tensor, shape: readonly number[]): Tensor
  softmax(x: Tensor): Tensor
  /** Uniform [0, 1) noise; a pure function of shape and seed (int32 [2]), stateless on every engine. */
  uniform(shape: readonly number[], seed: Tensor): Tensor
  /**
   * Inverted dropout with noise from `uniform`; `salt` (a non-negative int32, constant of the node) is
   * mixed into the seed, so that two dropouts of one pass draw different noise.
   */
  dropout(x: Tensor, options: DropoutOptions): Tensor
  /** logits [n, k], targets [n, k] (rows sum to one) → loss of every row [n]. */
  softmaxCrossEntropy(logits: Tensor, targets: Tensor): Tensor
  /** Images [n, h, w, c]; one projective matrix of 8 numbers per image [n, 8], output → input coordinates. */
  projectiveTransform(
    images: Tensor4D,
    matrices: Tensor,
    options: {
      readonly height: number
      readonly width: number
      readonly fill: 'reflect' | 'constant' | 'nearest'
    }
  ): Tensor4D
}

/** What changes from one forward pass to another. */
export interface ForwardContext {
  readonly training: boolean
  /** int32 [2]; only read when training. Dropout mixes a salt of its own into it. */
  readonly seed: Tensor | undefined
  /** Called by batch norm with the statistics of the batch, for each parameter name. */
  readonly onStatistics?: (parameter: string, batchValue: Tensor) => void
}
