/**
 * How much accuracy is lost between two that were not judged on the same images.
 *
 * Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
 * Medicine 17, 1998, method 10: from the intervals [l, u] of both accuracies p (Wilson's),
 *
 *   low = D - sqrt((p1 - l1)² + (u2 - p2)²)      high = D + sqrt((u1 - p1)² + (p2 - l2)²)      D = p1 - p2
 */
import type { Estimate } from '../contract/report.ts'
import type { AccuracyDrop } from './paired-drop.ts'

/** Drop in accuracy from `first` to `second`. */
export function independentDrop(first: Estimate, second: Estimate): AccuracyDrop {
  const [l1 = 0, u1 = 1] = first.ci95
  const [l2 = 0, u2 = 1] = second.ci95
  const value = first.value - second.value
  return {
    value,
    ci95: [
      value - Math.hypot(first.value - l1, u2 - second.value),
      value + Math.hypot(u1 - first.value, second.value - l2)
    ]
  }
}
