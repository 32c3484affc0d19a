/**
 * Which variant a job recommends, and the sentence that says why.
 *
 * Decided on the validation split (paired with the baseline on the same images) and on measured
 * latency. A variant that is not faster than the baseline, or loses more than the tolerance, is never
 * recommended; among the others the fastest is.
 */
import type { VariantName } from '../contract/report.ts'
import type { Evaluation } from './evaluate-variant.ts'
import { pairedDrop } from './paired-drop.ts'
import type { MeasuredVariant } from './report.ts'

/** Largest accuracy drop accepted without a goal: half a point. */
const defaultTolerance = 0.005

type Candidate = Pick<MeasuredVariant, 'latency'> & {
  readonly validation: Pick<Evaluation, 'correct'>
}

export interface Recommendation {
  readonly recommended: VariantName
  readonly recommendation: string
}

export interface RecommendOptions {
  readonly variants: { readonly baseline: Candidate } & Readonly<
    Partial<Record<VariantName, Candidate>>
  >
  /**
   * Largest drop in validation accuracy, as a fraction, that a recommended variant may have. On a
   * split so small that one image is more than that, one image is allowed. @default 0.005
   */
  readonly tolerance?: number
}

/** The fastest variant that is faster than the baseline and within `tolerance` of its accuracy. */
export function recommend(options: RecommendOptions): Recommendation {
  const { variants, tolerance = defaultTolerance } = options
  const images = variants.baseline.validation.correct.length
  const allowed = Math.max(tolerance, 1 / images) + 1e-9 // 1e-9: (b - c)/n is rounded
  const judged = (Object.entries(variants) as [VariantName, Candidate][])
    .filter(([name]) => name !== 'baseline')
    .map(([name, candidate]) => judge(name, candidate, variants.baseline))
  const best = judged
    .filter(({ faster, drop }) => faster > 1 && drop.value <= allowed)
    .sort((a, b) => b.faster - a.faster)[0]
  const noisy = Object.values(variants).some(({ latency }) => latency.noisy)
  const note = noisy ? '; latency was measured on a busy host' : ''
  return best === undefined
    ? { recommended: 'baseline', recommendation: refusal(judged, allowed) + note }
    : { recommended: best.name, recommendation: praise(best) + note }
}

function judge(name: VariantName, candidate: Candidate, baseline: Candidate) {
  return {
    name,
    faster: baseline.latency.medianMs / candidate.latency.medianMs,
    drop: pairedDrop(baseline.validation.correct, candidate.validation.correct)
  }
}

type Judged = ReturnType<typeof judge>

function praise({ faster, drop }: Judged): string {
  const [low, high] = drop.ci95
  return `${times(faster)} faster than baseline, ${change(drop.value)} on validation (undecidable below ${points((high - low) / 2)})`
}

function refusal(judged: readonly Judged[], allowed: number): string {
  if (judged.length === 0) return 'the only variant'
  const why = judged.map(
    ({ name, faster, drop }) => `${name}: ${speed(faster)}, ${change(drop.value)}`
  )
  return `no variant is faster than baseline and within ${points(allowed)} points of its validation accuracy (${why.join('; ')})`
}

function speed(faster: number): string {
  return faster > 1 ? `${times(faster)} faster` : `${times(1 / faster)} slower`
}

/** Cut, not rounded: nothing is called faster than it is. */
function times(factor: number): string {
  return `${(Math.floor(factor * 10 + 1e-9) / 10).toFixed(1)}x`
}

function change(drop: number): string {
  return `accuracy ${drop < 0 ? 'gain' : 'drop'} ${points(Math.abs(drop))} points`
}

function points(fraction: number): string {
  return (fraction * 100).toFixed(1)
}
