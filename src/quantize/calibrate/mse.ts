/**
 * The range with the least squared error: clipping a few outliers against rounding everything coarser.
 *
 * Banner et al., "Post training 4-bit quantization of convolutional networks", 2018. arXiv:1810.05723,
 * minimise it by formula for an assumed distribution; here it is searched on the histogram itself, each
 * end in turn from the full range down to a fifth of it, so nothing is assumed.
 */
import { affine, type Range, roundTrip } from '../affine.ts'
import type { Histogram } from './histogram.ts'

/** Shares of an end that are tried: 1, 0.99, ... 0.2. */
const shares = Array.from({ length: 81 }, (_, i) => 1 - i / 100)

export function mse(histogram: Histogram): Range {
  let best: Range = { low: histogram.low, high: histogram.high }
  best = least(histogram, (share) => ({ low: best.low, high: histogram.high * share }))
  best = least(histogram, (share) => ({ low: histogram.low * share, high: best.high }))
  return least(histogram, (share) => ({ low: best.low, high: histogram.high * share }))
}

function least(histogram: Histogram, candidate: (share: number) => Range): Range {
  let best = candidate(1)
  let bestError = squaredError(histogram, best)
  for (const share of shares) {
    const range = candidate(share)
    const error = squaredError(histogram, range)
    if (error < bestError) {
      best = range
      bestError = error
    }
  }
  return best
}

function squaredError({ low, width, counts }: Histogram, range: Range): number {
  const quantization = affine(range)
  let error = 0
  for (const [i, n] of counts.entries()) {
    if (n === 0) continue
    const value = low + (i + 0.5) * width
    error += n * (value - roundTrip(value, quantization)) ** 2
  }
  return error
}
