/**
 * The range of all values seen. Nothing is clipped; a single outlier costs everyone resolution.
 */
import type { Range } from '../affine.ts'
import type { Histogram } from './histogram.ts'

export function minmax({ low, high }: Histogram): Range {
  return { low, high }
}
