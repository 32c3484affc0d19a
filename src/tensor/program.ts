/**
 * A step: a function over named variables and inputs that an engine runs many times.
 *
 * Training, evaluation, batch norm re-estimation and gradients for pruning are all written against
 * this one interface. The tensorflow engine records the function once and replays it as one session
 * call (`compiled-step.ts`); the wasm engine calls it every time (`eager-step.ts`). So the function must
 * not read tensors back, must not draw numbers in JavaScript, and must take what changes from run to
 * run as an input.
 */
import type { Tensor } from '@tensorflow/tfjs-core'

export interface VariableSpec {
  readonly shape: readonly number[]
  /** Initial values, float32; copied. */
  readonly data: Float32Array
}

export interface InputSpec {
  readonly shape: readonly number[]
  /** A uint8 input reaches the step as float32 of the same values. */
  readonly dtype: 'float32' | 'int32' | 'uint8'
}

/** Access to variables from inside a step, in program order: a read sees every update before it. */
export interface StepScope {
  read(variable: string): Tensor
  assign(variable: string, value: Tensor): void
  /** slot = momentum * slot + gradient; v -= rate * (nesterov ? gradient + momentum * slot : slot). */
  applyMomentum(variable: string, update: MomentumUpdate): void
  /** Kingma and Ba 2014 (arXiv:1412.6980), section 2's last paragraph: epsilon outside the correction. */
  applyAdam(variable: string, update: AdamUpdate): void
}

export interface MomentumUpdate {
  readonly slot: string
  readonly gradient: Tensor
  readonly learningRate: Tensor
  readonly momentum: number
  readonly nesterov: boolean
}

export interface AdamUpdate {
  readonly firstMoment: string
  readonly secondMoment: string
  readonly gradient: Tensor
  readonly learningRate: Tensor
  /** beta1^t and beta2^t of this step (t from 1), scalars. */
  readonly beta1Power: Tensor
  readonly beta2Power: Tensor
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
}

export type Tensors = Readonly<Record<string, Tensor>>

export interface Program {
  readonly variables: ReadonlyMap<string, VariableSpec>
  readonly inputs: Readonly<Record<string, InputSpec>>
  step(scope: StepScope, inputs: Tensors): Tensors
}

export type Feed = number | Float32Array | Int32Array | Uint8Array
export type Output = Float32Array | Int32Array | Uint8Array

/** A program made ready to run. Synchronous; holds native memory until disposed. */
export interface Step {
  /**
   * One run. A feed may be reused afterwards.
   *
   * @throws RangeError when an input is missing, unknown or of the wrong size.
   */
  run(feeds: Readonly<Record<string, Feed>>): Readonly<Record<string, Output>>
  /** Current values, copied; all variables when no names are given. */
  read(names?: readonly string[]): Map<string, Float32Array>
  /** Sets variables; those not named keep their values. */
  write(values: ReadonlyMap<string, Float32Array>): void
  dispose(): void
}
