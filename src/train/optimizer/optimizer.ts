/** What an optimizer is to a training step: slots per parameter, and one update of one parameter. */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { TrainOptions } from '../../contract/recipe.ts'
import type { Engine } from '../../tensor/engine.ts'
import type { Feed, InputSpec, StepScope, Tensors } from '../../tensor/program.ts'
import { adamw } from './adamw.ts'
import { sgd } from './sgd.ts'

export interface Update {
  /** Variable of the parameter. */
  readonly variable: string
  /** Variables of its slots, in the optimizer's order. */
  readonly slots: readonly string[]
  /** The parameter's value before the update, and the loss's gradient in it. */
  readonly value: Tensor
  readonly gradient: Tensor
  readonly decay: boolean
  readonly learningRate: Tensor
}

export interface Optimizer {
  /** Names of the slots of each parameter; they start at zero. */
  readonly slots: readonly string[]
  /** What the step needs per update besides the learning rate ... */
  readonly inputs: Readonly<Record<string, InputSpec>>
  /** ... and its values for the update-th update, counted from 0. */
  feeds(update: number): Readonly<Record<string, Feed>>
  apply(scope: StepScope, update: Update, inputs: Tensors): void
}

export const createOptimizer = (tf: Engine['tf'], options: TrainOptions['optimizer']): Optimizer =>
  options.name === 'sgd' ? sgd(tf, options) : adamw(tf, options)
