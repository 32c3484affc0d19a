/**
 * Running statistics of batch norm: an average over batches, kept inside the step.
 *
 * Ioffe and Szegedy 2015. arXiv:1502.03167, section 3.1. The momentum rises from 0 to 0.9, as
 * t / (t + 1): at first it is the plain mean of all batches so far, so nothing of the initial zeros and
 * ones is left and short runs have usable statistics too.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Engine } from '../tensor/engine.ts'
import type { StepScope } from '../tensor/program.ts'

const MOMENTUM = 0.9

/** Share of the old value in the update-th update, counted from 0. */
export const statisticsMomentum = (update: number): number =>
  Math.min(MOMENTUM, update / (update + 1))

export const updateStatistics = (
  tf: Engine['tf'],
  scope: StepScope,
  { variable, batchValue, momentum }: { variable: string; batchValue: Tensor; momentum: Tensor }
): void => {
  const old = scope.read(variable)
  scope.assign(variable, tf.add(batchValue, tf.mul(tf.sub(old, batchValue), momentum)))
}
