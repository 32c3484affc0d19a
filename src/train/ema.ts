/**
 * Exponential moving average of the weights, running statistics included.
 *
 * Polyak and Juditsky 1992; decay with warm-up, min(decay, (1 + t) / (10 + t)), as in TensorFlow's
 * ExponentialMovingAverage, so that the random start is forgotten within a few updates. The average
 * reads the weights after the update, which the step's control dependencies guarantee.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Engine } from '../tensor/engine.ts'
import type { StepScope } from '../tensor/program.ts'

/** The decay of the update-th update, counted from 0. */
export const emaDecay = (decay: number, update: number): number =>
  Math.min(decay, (1 + update) / (10 + update))

export const updateEma = (
  tf: Engine['tf'],
  scope: StepScope,
  { variable, average, decay }: { variable: string; average: string; decay: Tensor }
): void => {
  const value = scope.read(variable)
  scope.assign(average, tf.add(value, tf.mul(tf.sub(scope.read(average), value), decay)))
}
