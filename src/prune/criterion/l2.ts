/**
 * The L2 norm of all kernel slices that make or read a channel.
 *
 * Li et al., "Pruning Filters for Efficient ConvNets", 2016. arXiv:1608.08710, with the norm taken over
 * the whole dependency group as in Fang et al., "DepGraph", 2023. arXiv:2301.12900, section 3.3.
 */
import type { Criterion } from '../criterion.ts'

export const l2: Criterion = {
  member: ({ role, parameter, axis }) => (role === 'kernel' ? `${parameter} ${axis}` : undefined),
  needsGradients: false,
  element: (value) => value * value,
  finish: Math.sqrt,
  normalise: true
}
