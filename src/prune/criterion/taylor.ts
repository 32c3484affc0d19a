/**
 * The change of the loss when a channel is zeroed, to first order: |sum of value * gradient|.
 *
 * Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019. arXiv:1906.10771,
 * equation 8. Every member estimates the same loss, so scores are added as they are. A kernel in front
 * of batch norm adds nothing, as it should: the loss does not depend on its size.
 */
import type { Criterion } from '../criterion.ts'

export const taylor: Criterion = {
  // Factor and offset of a batch norm (kernel and bias of a layer) zero a channel together.
  member: ({ node, role, axis }, shape) =>
    role === 'mean' || role === 'variance'
      ? undefined
      : `${node} ${role === 'kernel' && axis < shape.length - 1 ? 'reads' : 'makes'}`,
  needsGradients: true,
  element: (value, gradient) => value * gradient,
  finish: Math.abs,
  normalise: false
}
