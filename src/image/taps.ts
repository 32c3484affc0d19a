/**
 * The weights of a resampling along one side, in integers.
 *
 * Catmull-Rom's cubic (Keys 1981, with a = -1/2), widened by the factor of reduction so that what is
 * too fine for the result is averaged away.
 */

export interface Span {
  /** Pixels of the source along this side. */
  readonly size: number
  /** The part of the source that is shown, in pixels from its edge; need not be whole. */
  readonly from: number
  readonly length: number
  /** Pixels of the result. */
  readonly count: number
}

export interface Taps {
  /** int32 [count]: the first source pixel of each result. */
  readonly starts: Int32Array
  /** int16 [count, taps] with 14 fractional bits; each row sums to 1. */
  readonly weights: Int16Array
  /** Weights a result; those outside of the kernel are zero, and lie past the source only where it is smaller. */
  readonly taps: number
}

const one = 1 << 14

/** Weights of a `span`, as many a result as the next multiple of `multiple`. */
export function tapsOf({ size, from, length, count }: Span, multiple: number): Taps {
  const step = length / count
  const widening = Math.max(1, step)
  const reach = 2 * widening
  const first = (i: number): number => Math.max(0, Math.round(from + (i + 0.5) * step - reach))
  const end = (i: number): number => Math.min(size, Math.round(from + (i + 0.5) * step + reach))
  let widest = 1
  for (let i = 0; i < count; i++) widest = Math.max(widest, end(i) - first(i))
  const taps = Math.ceil(widest / multiple) * multiple
  const starts = new Int32Array(count)
  const weights = new Int16Array(count * taps)
  for (let i = 0; i < count; i++) {
    // Moved back where the zeros behind it would lie past the source, as far as the source goes.
    const start = Math.max(0, Math.min(first(i), size - taps))
    const centre = from + (i + 0.5) * step
    const own = Array.from({ length: end(i) - first(i) }, (_, k) =>
      catmullRom((first(i) + k + 0.5 - centre) / widening)
    )
    starts[i] = start
    weights.set(inIntegers(own), i * taps + first(i) - start)
  }
  return { starts, weights, taps }
}

/** Scaled to sum to `one` exactly: what rounding leaves goes to the greatest. */
function inIntegers(weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0)
  const rounded = weights.map((weight) => Math.round((weight / sum) * one))
  const greatest = weights.indexOf(Math.max(...weights))
  const rest = one - rounded.reduce((a, b) => a + b, 0)
  return rounded.map((weight, i) => (i === greatest ? weight + rest : weight))
}

function catmullRom(distance: number): number {
  const x = Math.abs(distance)
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
}
