/**
 * Puts what was measured of each variant into the shape of the contract.
 *
 * Accuracy drop is paired on the test split: test is read once, for the report, and decides nothing
 * (`recommend.ts` looks at validation).
 */
import type { Latency, VariantName, VariantReport } from '../contract/report.ts'
import type { Sketch } from '../contract/sketch.ts'
import { writeAnswers } from './answer-bits.ts'
import { classReports } from './confusion.ts'
import type { Evaluation } from './evaluate-variant.ts'
import { pairedDrop } from './paired-drop.ts'

/** Everything measured of one variant. */
export interface MeasuredVariant {
  /** What it was made from; null for the baseline. */
  readonly from: VariantName | null
  readonly file: string
  readonly bytes: number
  readonly parameters: number
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly validation: Evaluation
  readonly test: Evaluation
  /** Of the validation split; null where an earlier release has evaluated it. */
  readonly reference: Sketch | null
  readonly latency: Latency
}

/** The variants of one job. The baseline is always among them. */
export type MeasuredVariants = { readonly baseline: MeasuredVariant } & Readonly<
  Partial<Record<VariantName, MeasuredVariant>>
>

/** The contract's report of every variant. `labels` by class index. */
export function variantReports(
  variants: MeasuredVariants,
  labels: readonly string[]
): Partial<Record<VariantName, VariantReport>> {
  const entries = Object.entries(variants) as [VariantName, MeasuredVariant][]
  return Object.fromEntries(
    entries.map(([name, variant]) => [name, variantReport(variant, variants.baseline, labels)])
  )
}

function variantReport(
  variant: MeasuredVariant,
  baseline: MeasuredVariant,
  labels: readonly string[]
): VariantReport {
  const { validation, test, reference, latency } = variant
  return {
    from: variant.from,
    file: variant.file,
    bytes: variant.bytes,
    parameters: variant.parameters,
    macs: variant.macs,
    accuracy: { validation: validation.accuracy, test: test.accuracy },
    validationAnswers: writeAnswers(validation.correct),
    perClass: classReports(test.confusion, labels),
    confusion: test.confusion.map((row) => [...row]),
    calibrationError: test.calibrationError,
    latency,
    versusBaseline: {
      accuracyDrop: pairedDrop(baseline.test.correct, test.correct),
      faster: claim(baseline.latency.medianMs / latency.medianMs),
      smaller: claim(baseline.bytes / variant.bytes)
    },
    goal: null,
    ...(reference === null ? {} : { reference })
  }
}

/** Three decimals, cut and not rounded: nothing is called faster or smaller than it is. */
function claim(ratio: number): number {
  const cut = Math.floor(ratio * 1000) / 1000
  // A quotient such as 2.3 may come out a hair below itself times 1000.
  const next = Math.round(ratio * 1000) / 1000
  return next <= ratio ? next : cut
}
