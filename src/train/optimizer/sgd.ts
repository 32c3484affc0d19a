/**
 * Stochastic gradient descent with momentum, Nesterov's if asked for.
 *
 * Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
 *
 *   g = gradient + weightDecay * w        m = momentum * m + g        w -= rate * (g + momentum * m)
 *
 * Weight decay is the classic L2 term inside the gradient, as the recipes of ResNet assume it.
 */
import type { SgdOptions } from '../../contract/recipe.ts'
import type { Engine } from '../../tensor/engine.ts'
import type { Optimizer } from './optimizer.ts'

export const sgd = (
  tf: Engine['tf'],
  { momentum, nesterov, weightDecay }: SgdOptions
): Optimizer => ({
  slots: ['momentum'],
  inputs: {},
  feeds: () => ({}),
  apply(scope, { variable, slots, value, gradient, decay, learningRate }) {
    const isDecayed = decay && weightDecay > 0
    const total = isDecayed ? tf.add(gradient, tf.mul(value, weightDecay)) : gradient
    const slot = slots[0] as string
    scope.applyMomentum(variable, { slot, gradient: total, learningRate, momentum, nesterov })
  }
})
