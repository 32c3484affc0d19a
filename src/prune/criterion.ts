/**
 * What a pruning criterion is: how one parameter element counts towards the score of its channel.
 *
 * A *member* of a channel is one place where it appears: the kernel that makes it, the batch norm that
 * scales it, a kernel that reads it. `score.ts` sums elements per member and members per unit.
 */
import type { Shape } from '../network/graph.ts'
import type { UnitCut } from '../network/trace-channels.ts'

export interface Criterion {
  /** Which member the cut's parameter speaks for; undefined when the criterion does not judge it. */
  member(cut: UnitCut, shape: Shape): string | undefined
  /** Whether gradients are needed. */
  readonly needsGradients: boolean
  /** What one element adds to its channel's sum in a member. The gradient is 0 unless needed. */
  element(value: number, gradient: number): number
  /** From the sum of a member's elements to its score. */
  finish(sum: number): number
  /**
   * Whether a member's scores are turned into shares of their sum. False when scores of different
   * members mean the same quantity and may be compared as they are.
   */
  readonly normalise: boolean
}
