/**
 * The distribution of one tensor over the calibration images.
 *
 * 2,048 bins: with as few as the 128 of ONNX Runtime's entropy calibrator the search for a threshold has
 * next to nothing to choose from. Exact zeros are counted apart: they are represented exactly by every
 * quantization, and after a relu they would otherwise drown everything else.
 */
import type { Range } from '../affine.ts'

const bins = 2048

export interface Histogram extends Range {
  /** Values per bin, without exact zeros. Bin i covers low + [i, i+1)·width. */
  readonly counts: Float64Array
  readonly width: number
  readonly zeros: number
}

/** The smallest and largest value, and zero. @throws RangeError on a value that is not finite. */
export function extend(range: Range, values: Float32Array): Range {
  let { low, high } = range
  for (const value of values) {
    if (value < low) low = value
    else if (value > high) high = value
    else if (Number.isNaN(value)) throw new RangeError('Cannot calibrate: received NaN')
  }
  if (!Number.isFinite(high - low)) {
    throw new RangeError(`Cannot calibrate: received values from ${low} to ${high}`)
  }
  return { low, high }
}

/** An empty histogram over a range. */
export function emptyHistogram({ low, high }: Range): Histogram {
  return { low, high, counts: new Float64Array(bins), width: (high - low) / bins, zeros: 0 }
}

/** A histogram with the values counted too; the bins of the given one are reused. */
export function count(histogram: Histogram, values: Float32Array): Histogram {
  const { low, width, counts } = histogram
  let { zeros } = histogram
  for (const value of values) {
    if (value === 0) {
      zeros++
      continue
    }
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((value - low) / width)))
    counts[bin] = (counts[bin] ?? 0) + 1
  }
  return { ...histogram, zeros }
}
