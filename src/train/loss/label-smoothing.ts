/**
 * Targets with label smoothing.
 *
 * Szegedy et al., "Rethinking the Inception Architecture", 2015. arXiv:1512.00567, section 7: the one-hot
 * target gives up `amount`, which is spread evenly over all classes, the right one included.
 */
import type { Tensor, Tensor1D } from '@tensorflow/tfjs-core'
import type { Engine } from '../../tensor/engine.ts'

/** labels int32 [n] -> targets float32 [n, classes], rows sum to one. */
export const smoothTargets = (
  tf: Engine['tf'],
  labels: Tensor,
  classes: number,
  amount: number
): Tensor => {
  const targets = tf.cast(tf.oneHot(labels as Tensor1D, classes), 'float32')
  return amount === 0 ? targets : tf.add(tf.mul(targets, 1 - amount), amount / classes)
}
