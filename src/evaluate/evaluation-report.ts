/** Puts what was found of a version's files on one set of images into the shape of the contract. */
import type { EvaluationReport, VariantEvaluationReport } from '../contract/evaluation.ts'
import type { VariantName } from '../contract/report.ts'
import { classReports } from './confusion.ts'
import type { Evaluation } from './evaluate-variant.ts'
import { pairedDrop } from './paired-drop.ts'

/**
 * Differences are paired with the baseline on the same images, and null when it is not among them.
 *
 * @param labels of the model, by class index
 */
export function evaluationReport(
  evaluated: ReadonlyMap<VariantName, Evaluation>,
  labels: readonly string[]
): EvaluationReport {
  const [any] = evaluated.values()
  if (any === undefined) throw new RangeError('Cannot report: received no evaluation')
  const baseline = evaluated.get('baseline')
  const images = any.confusion.map((row) => row.reduce((sum, n) => sum + n, 0))
  return {
    images: any.correct.length,
    labels: [...labels],
    mapped: labels.filter((_, k) => (images[k] ?? 0) > 0),
    variants: Object.fromEntries(
      [...evaluated].map(([variant, found]) => [variant, variantReport(found, baseline, labels)])
    )
  }
}

function variantReport(
  found: Evaluation,
  baseline: Evaluation | undefined,
  labels: readonly string[]
): VariantEvaluationReport {
  return {
    accuracy: found.accuracy,
    perClass: classReports(found.confusion, labels),
    confusion: found.confusion.map((row) => [...row]),
    calibrationError: found.calibrationError,
    crossEntropy: found.crossEntropy,
    versusBaseline:
      baseline === undefined ? null : { accuracyDrop: pairedDrop(baseline.correct, found.correct) }
  }
}
