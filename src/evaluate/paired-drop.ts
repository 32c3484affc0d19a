/**
 * How much accuracy a variant loses, judged on the same images.
 *
 * Tango, "Equivalence test and confidence interval for the difference in proportions for the
 * paired-sample design", Statistics in Medicine 17, 1998. With b images that only the first answers
 * correctly, c that only the second does, and n in all, the drop D = (b - c)/n has the interval of all
 * d whose score is within ±z:
 *
 *   score(d) = (b - c - n·d) / sqrt(n · (2q + d(1 - d)))      q = (sqrt(B² - 4AC) - B) / 2A
 *   A = 2n      B = -b - c + (2n - b + c)·d                   C = -c·d(1 - d)
 *
 * The images on which both agree cancel out, so it is several times narrower than the difference of
 * two separate intervals; and unlike Wald's it does not shrink to a point when b = c = 0.
 */
import { z95 } from './wilson.ts'

export interface AccuracyDrop {
  /** Accuracy of the first minus accuracy of the second, as a fraction; negative is a gain. */
  readonly value: number
  readonly ci95: [low: number, high: number]
}

/**
 * Drop in accuracy from `first` to `second`: 1 where the image was answered correctly, else 0.
 *
 * @throws RangeError when they are empty or differ in length.
 */
export function pairedDrop(first: Uint8Array, second: Uint8Array): AccuracyDrop {
  const n = first.length
  if (n === 0 || second.length !== n) {
    throw new RangeError(`Cannot pair answers: received ${n} and ${second.length}`)
  }
  let b = 0
  let c = 0
  for (let i = 0; i < n; i++) {
    const onlyFirst = (first[i] ?? 0) - (second[i] ?? 0)
    if (onlyFirst > 0) b++
    else if (onlyFirst < 0) c++
  }
  const value = (b - c) / n
  return {
    value,
    ci95: [
      solve((d) => score(b, c, n, d) - z95, -1, value),
      solve((d) => score(b, c, n, d) + z95, value, 1)
    ]
  }
}

function score(b: number, c: number, n: number, d: number): number {
  const difference = b - c - n * d
  if (difference === 0) return 0
  const a2 = 2 * n
  const b2 = -b - c + (a2 - b + c) * d
  const c2 = -c * d * (1 - d)
  const q = (Math.sqrt(Math.max(0, b2 * b2 - 4 * a2 * c2)) - b2) / (2 * a2)
  return difference / Math.sqrt(Math.max(0, n * (2 * q + d * (1 - d))))
}

/** Root of a falling function in [low, high], by bisection. */
function solve(f: (d: number) => number, low: number, high: number): number {
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (f(middle) > 0) low = middle
    else high = middle
  }
  return (low + high) / 2
}
