/**
 * Compares two sketches by the population stability index, and says what chance alone would come to.
 *
 *   PSI = sum over cells of (q - p) ln(q / p)      p, q: shares of the reference and of what was served
 *
 * Karakoulas, "Empirical Validation of Retail Credit-Scoring Models", RMA Journal, 2004, has the usual
 * reading: below 0.1 nothing, above 0.2 a significant change. Where both are samples of the same
 * distribution, PSI / (1/n + 1/m) is about chi-squared with one degree of freedom less than there are cells
 * (Yurdakul and Naranjo, "Statistical Properties of the Population Stability Index", Journal of Risk Model
 * Validation 14, 2020); from that follows what a few images exceed by chance.
 */
import { type DriftAspect, driftAspects, type Sketch } from '../contract/sketch.ts'
import { cellsOf } from './cells.ts'

export interface Comparison {
  readonly aspect: DriftAspect
  readonly score: number
  readonly threshold: number
  readonly cells: readonly ComparedCell[]
}

export interface ComparedCell {
  readonly name: string
  /** Share, 0..1, as counted. */
  readonly reference: number
  readonly served: number
}

/** The index that counts as a change, however many images there are. */
const significant = 0.2
/** Quantile of the normal distribution that one look in a thousand exceeds. */
const z999 = 3.0902323061678132
/** Added to every cell, so that an empty one has a logarithm. */
const prior = 0.5

/** All aspects that both have. `labels` by class index. */
export function compare(
  reference: Sketch,
  served: Sketch,
  labels: readonly string[]
): readonly Comparison[] {
  return driftAspects
    .filter((aspect) => reference[aspect] !== undefined && served[aspect] !== undefined)
    .map((aspect) => compareAspect(aspect, { reference, served, labels }))
}

function compareAspect(
  aspect: DriftAspect,
  {
    reference,
    served,
    labels
  }: { readonly reference: Sketch; readonly served: Sketch; readonly labels: readonly string[] }
): Comparison {
  const cells = cellsOf(aspect, reference, labels)
  const sum = (counts: readonly number[] | undefined, bins: readonly number[]): number =>
    bins.reduce((total, bin) => total + (counts?.[bin] ?? 0), 0)
  const [m, n] = [reference.images, served.images]
  let score = 0
  const compared = cells.map(({ name, bins }) => {
    const [a, b] = [sum(reference[aspect], bins), sum(served[aspect], bins)]
    const p = (a + prior) / (m + prior * cells.length)
    const q = (b + prior) / (n + prior * cells.length)
    score += (q - p) * Math.log(q / p)
    return { name, reference: m === 0 ? 0 : a / m, served: n === 0 ? 0 : b / n }
  })
  const chance = (1 / Math.max(1, n) + 1 / Math.max(1, m)) * chiSquared999(cells.length - 1)
  return { aspect, score, threshold: Math.max(significant, chance), cells: compared }
}

/**
 * What a chi-squared variable exceeds once in a thousand.
 *
 * Wilson and Hilferty, "The Distribution of Chi-Square", PNAS 17, 1931.
 */
function chiSquared999(degrees: number): number {
  if (degrees < 1) return 0
  const ninth = 2 / (9 * degrees)
  return degrees * (1 - ninth + z999 * Math.sqrt(ninth)) ** 3
}
