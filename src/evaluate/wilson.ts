/**
 * Wilson's score interval for a proportion.
 *
 * Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
 *
 *   centre = (p + z²/2n) / (1 + z²/n)      half = z / (1 + z²/n) · sqrt(p(1-p)/n + z²/4n²)
 *
 * Not the textbook p ± z·sqrt(p(1-p)/n): at 99 % of 100 images that one reaches beyond 1.
 */

/** Two-sided 95 % quantile of the normal distribution. */
export const z95 = 1.959963984540054

/**
 * 95 % interval of the proportion `successes / n`.
 *
 * @throws RangeError when n < 1 or `successes` is outside 0..n.
 */
export function wilson(successes: number, n: number): [low: number, high: number] {
  if (!(n >= 1) || !(successes >= 0) || successes > n) {
    throw new RangeError(`Cannot estimate a proportion: received ${successes} of ${n}`)
  }
  const p = successes / n
  const z2n = z95 ** 2 / n
  const centre = (p + z2n / 2) / (1 + z2n)
  const half = (Math.sqrt(z2n) / (1 + z2n)) * Math.sqrt(p * (1 - p) + z2n / 4)
  // At 0 and n the bound is exact; rounding must not move it.
  return [
    successes === 0 ? 0 : Math.max(0, centre - half),
    successes === n ? 1 : Math.min(1, centre + half)
  ]
}
