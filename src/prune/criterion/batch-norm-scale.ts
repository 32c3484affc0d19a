/**
 * The size of the batch norm factors of a channel. Channels without batch norm are not judged, and
 * their group keeps its width.
 *
 * Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017.
 * arXiv:1708.06519. Departs from the paper: no sparsity term has pushed the factors towards zero.
 */
import type { Criterion } from '../criterion.ts'

export const batchNormScale: Criterion = {
  member: ({ role, parameter }) => (role === 'gamma' ? parameter : undefined),
  needsGradients: false,
  element: Math.abs,
  finish: (sum) => sum,
  normalise: true
}
