/**
 * The range that keeps most information: least Kullback-Leibler divergence.
 *
 * Migacz, "8-bit Inference with TensorRT", GTC 2017. For every threshold t: P is the histogram clipped to
 * [-t, t] with what lies outside added to the end bins; Q is the clipped histogram merged into as many
 * levels as the quantized range has and spread again over the bins that are not empty.
 *
 *   t = argmin Σ P·log(P / Q)
 *
 * Departs from it: uint8 has 256 levels over the whole range, so a one-sided tensor uses them all on one
 * side, where TensorRT's signed int8 has 128.
 */
import type { Range } from '../affine.ts'
import type { Histogram } from './histogram.ts'

const levels = 256
/** Bins between the thresholds that are tried. */
const step = 8
/** Stands for an empty bin of Q where P has values: outliers clipped into a bin of their own. */
const almostNothing = 1e-10

export function entropy(histogram: Histogram): Range {
  const { low, high, width, counts } = histogram
  const farthest = Math.ceil(Math.max(high, -low) / width)
  let best: Range = { low, high }
  let bestDivergence = Number.POSITIVE_INFINITY
  for (let bins = farthest; bins > 0; bins -= step) {
    const first = Math.max(0, Math.floor((-bins * width - low) / width))
    const end = Math.min(counts.length, Math.ceil((bins * width - low) / width))
    if (end - first < levels) break
    const divergence = divergenceOf(counts, first, end)
    if (divergence < bestDivergence) {
      bestDivergence = divergence
      best = {
        low: first === 0 ? low : low + first * width,
        high: end === counts.length ? high : low + end * width
      }
    }
  }
  return best
}

/** KL divergence of the window [first, end) of the bins, quantized, from the whole clipped to it. */
function divergenceOf(counts: Float64Array, first: number, end: number): number {
  const inside = counts.subarray(first, end)
  const spread = quantized(inside)
  const clipped = Float64Array.from(inside)
  const last = clipped.length - 1
  clipped[0] = (clipped[0] ?? 0) + sum(counts.subarray(0, first))
  clipped[last] = (clipped[last] ?? 0) + sum(counts.subarray(end))
  const [all, kept] = [sum(clipped), sum(spread)]
  if (kept === 0) return Number.POSITIVE_INFINITY
  let divergence = 0
  for (const [i, n] of clipped.entries()) {
    if (n === 0) continue
    const p = n / all
    divergence += p * Math.log(p / Math.max((spread[i] ?? 0) / kept, almostNothing))
  }
  return divergence
}

/** Bins merged into levels, each level's count spread evenly over its bins that are not empty. */
function quantized(bins: Float64Array): Float64Array {
  const spread = new Float64Array(bins.length)
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * bins.length) / levels)
    const to = Math.floor(((level + 1) * bins.length) / levels)
    const group = bins.subarray(from, to)
    const occupied = group.reduce((number, n) => number + (n > 0 ? 1 : 0), 0)
    const share = occupied === 0 ? 0 : sum(group) / occupied
    for (let i = from; i < to; i++) spread[i] = (bins[i] ?? 0) > 0 ? share : 0
  }
  return spread
}

function sum(values: Float64Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}
