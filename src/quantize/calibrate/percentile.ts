/**
 * The range that holds 99.999 % of the values.
 *
 * Wu et al., "Integer Quantization for Deep Learning Inference", 2020. arXiv:2004.09602, section 4.2.
 * What is cut is shared equally between the tails; a tensor without negative values has one tail.
 */
import type { Range } from '../affine.ts'
import type { Histogram } from './histogram.ts'

/** 1 - 0.99999, written so that it is not rounded. */
const dropped = 1e-5

export function percentile(histogram: Histogram): Range {
  const { low, high, counts, width, zeros } = histogram
  const total = counts.reduce((sum, n) => sum + n, zeros)
  const cut = (dropped * total) / (low < 0 && high > 0 ? 2 : 1)
  let first = 0
  for (let out = counts[first] ?? 0; out <= cut && low + (first + 1) * width < 0; ) {
    first++
    out += counts[first] ?? 0
  }
  let last = counts.length - 1
  for (let out = counts[last] ?? 0; out <= cut && low + last * width > 0; ) {
    last--
    out += counts[last] ?? 0
  }
  return {
    low: first === 0 ? low : low + first * width,
    high: last === counts.length - 1 ? high : low + (last + 1) * width
  }
}
