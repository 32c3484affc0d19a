/** From timed rounds to what a report says: median, 90th percentile, and whether to believe them. */

export interface Summary {
  readonly medianMs: number
  readonly p90Ms: number
  readonly runs: number
  /** Relative difference between the medians of the first and the second half of the rounds. */
  readonly spread: number
  readonly noisy: boolean
}

/** Halves of a measurement that differ by more were not taken on the same machine, so to speak. */
const noisySpread = 0.15

/** @throws RangeError without a single time. */
export function summarize(rounds: readonly (readonly number[])[]): Summary {
  const times = rounds.flat()
  if (times.length === 0) throw new RangeError('Cannot summarize: no times, received none')
  const half = Math.ceil(rounds.length / 2)
  const [first, second] = [rounds.slice(0, half).flat(), rounds.slice(half).flat()]
  const [a, b] = [quantile(first, 0.5), quantile(second.length > 0 ? second : first, 0.5)]
  const spread = Math.abs(a - b) / Math.max(Math.min(a, b), Number.MIN_VALUE)
  return {
    medianMs: inTenthsOfMicroseconds(quantile(times, 0.5)),
    p90Ms: inTenthsOfMicroseconds(quantile(times, 0.9)),
    runs: times.length,
    spread,
    noisy: spread > noisySpread
  }
}

/** What the clock can tell, without the noise of float arithmetic behind it; never 0. */
const inTenthsOfMicroseconds = (ms: number): number => Math.max(1, Math.round(ms * 1e4)) / 1e4

/**
 * The quantile of a sample by linear interpolation (type 7 of Hyndman & Fan, "Sample Quantiles in
 * Statistical Packages", 1996).
 */
export function quantile(sample: readonly number[], p: number): number {
  const sorted = Float64Array.from(sample).sort()
  const at = (sorted.length - 1) * p
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}
