/**
 * Adam with decoupled weight decay.
 *
 * Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017. arXiv:1711.05101, Algorithm 2:
 *
 *   w -= rate * weightDecay * w        then Adam's update of the decayed w
 *
 * As in PyTorch the decay is scaled by the learning rate, so the schedule covers both. The powers of beta
 * come from the host: they depend on the update's number alone, so a resumed run continues exactly.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { AdamWOptions } from '../../contract/recipe.ts'
import type { Engine } from '../../tensor/engine.ts'
import type { Optimizer } from './optimizer.ts'

export const adamw = (
  tf: Engine['tf'],
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions
): Optimizer => ({
  slots: ['first-moment', 'second-moment'],
  inputs: {
    beta1Power: { shape: [], dtype: 'float32' },
    beta2Power: { shape: [], dtype: 'float32' }
  },
  feeds: (update) => ({ beta1Power: beta1 ** (update + 1), beta2Power: beta2 ** (update + 1) }),
  apply(scope, { variable, slots, value, gradient, decay, learningRate }, inputs) {
    if (decay && weightDecay > 0) {
      const kept = tf.sub(1, tf.mul(learningRate, weightDecay))
      scope.assign(variable, tf.mul(value, kept))
    }
    const [firstMoment, secondMoment] = slots as [string, string]
    scope.applyAdam(variable, {
      firstMoment,
      secondMoment,
      gradient,
      learningRate,
      beta1Power: inputs.beta1Power as Tensor,
      beta2Power: inputs.beta2Power as Tensor,
      beta1,
      beta2,
      epsilon
    })
  }
})
