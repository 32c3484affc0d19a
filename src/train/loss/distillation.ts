/**
 * Distillation: the student follows the teacher's softened probabilities.
 *
 * Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. arXiv:1503.02531, section 2:
 *
 *   T^2 * KL(softmax(teacher / T) || softmax(student / T))
 *
 * The factor T^2 keeps the gradient's size whatever the temperature.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Engine } from '../../tensor/engine.ts'

/** Logits [n, k] twice -> loss of every row [n]. Differentiable in the student's. */
export const distillationLoss = (
  { tf, kernels }: Pick<Engine, 'tf' | 'kernels'>,
  student: Tensor,
  teacher: Tensor,
  temperature: number
): Tensor => {
  const targets = kernels.softmax(tf.div(teacher, temperature))
  const cross = kernels.softmaxCrossEntropy(tf.div(student, temperature), targets)
  const entropy = kernels.softmaxCrossEntropy(tf.div(teacher, temperature), targets)
  return tf.mul(tf.sub(cross, entropy), temperature ** 2)
}
