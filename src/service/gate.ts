/**
 * The gate before a promotion: each bound that was asked for, beside what the reports say.
 *
 * Accuracy is that of the validation split; test decides nothing. What was never measured, or cannot be
 * compared, does not pass.
 */
import type { DatasetReference } from '../contract/model.ts'
import type { bounds, Comparison, Gate } from '../contract/promotion.ts'
import type { Estimate, Latency } from '../contract/report.ts'
import { readAnswers } from '../evaluate/answer-bits.ts'
import { independentDrop } from '../evaluate/independent-drop.ts'
import { type AccuracyDrop, pairedDrop } from '../evaluate/paired-drop.ts'

/** A variant with what is known of it; a model from elsewhere may lack any of it. */
export interface Measured {
  readonly dataset: DatasetReference | null
  readonly report: {
    readonly bytes?: number | null
    readonly accuracy?: { readonly validation?: Estimate | null } | null
    readonly validationAnswers?: string | null
    readonly latency?: Latency | null
  }
}

interface Pair {
  readonly candidate: Measured
  /** What the alias serves; null when there is no such alias. */
  readonly serving: Measured | null
}

type Bound = (typeof bounds)[number]
type Finding = Pick<Comparison, 'measured' | 'passed' | 'detail' | 'ci95'>

export function compareGate(gate: Gate, pair: Pair): Comparison[] {
  return (Object.keys(judges) as Bound[]).flatMap((bound) => {
    const allowed = gate[bound]
    if (allowed === undefined) return []
    return [{ bound, allowed, ...judges[bound](allowed, pair, gate.certain === true) }]
  })
}

type Judge = (allowed: number, pair: Pair, certain: boolean) => Finding

const judges = {
  minAccuracy(allowed, { candidate }, certain) {
    const estimate = candidate.report.accuracy?.validation
    if (estimate == null) return unknown('the accuracy of the version was never measured')
    const { value, ci95, images } = estimate
    const low = ci95[0] ?? value
    const detail = `at least ${allowed} is wanted${wholly(certain)}: ${value}, 95 % ${range(ci95)}, on ${images} images of validation`
    return { measured: value, ci95, passed: (certain ? low : value) >= allowed, detail }
  },

  maxAccuracyDrop(allowed, { candidate, serving }, certain) {
    if (serving === null) return unknown(nothingServed)
    const drop = dropBetween(serving, candidate)
    if (typeof drop === 'string') return unknown(drop)
    const { value, ci95, how } = drop
    const detail = `at most ${allowed} is allowed${wholly(certain)}: ${round(value)}, 95 % ${range(ci95)}, ${how}`
    // 1e-9: quotients are rounded.
    const passed = (certain ? ci95[1] : value) <= allowed + 1e-9
    return { measured: value, ci95: [...ci95], passed, detail }
  },

  maxLatencyRatio(allowed, { candidate, serving }) {
    if (serving === null) return unknown(nothingServed)
    const [next, now] = [candidate.report.latency, serving.report.latency]
    if (next == null) return unknown('the latency of the version was never measured')
    if (now == null) return unknown('the latency of what the alias serves was never measured')
    if (conditions(next) !== conditions(now)) {
      return unknown(`measured under other conditions: ${conditions(next)}; ${conditions(now)}`)
    }
    const ratio = next.medianMs / now.medianMs
    const noise = next.noisy || now.noisy ? ', measured on a busy host' : ''
    const detail = `at most ${allowed} times is allowed: ${round(ratio)}, ${next.medianMs} ms after ${now.medianMs} ms${noise}`
    return { measured: ratio, passed: ratio <= allowed, detail }
  },

  maxSizeBytes(allowed, { candidate }) {
    const { bytes } = candidate.report
    if (bytes == null) return unknown('the size of the version was never measured')
    return {
      measured: bytes,
      passed: bytes <= allowed,
      detail: `at most ${allowed} bytes: ${bytes}`
    }
  }
} satisfies Record<Bound, Judge>

/** Paired where both have answered the same images: those of one version of a dataset are in one order. */
function dropBetween(serving: Measured, candidate: Measured) {
  const now = serving.report.accuracy?.validation
  const next = candidate.report.accuracy?.validation
  if (next == null) return 'the accuracy of the version was never measured'
  if (now == null) return 'the accuracy of what the alias serves was never measured'
  const paired = pairedBetween(serving, candidate, [now.images, next.images])
  if (paired !== undefined)
    return { ...paired, how: `paired on ${now.images} images of validation` }
  const how = `from two intervals, on ${now.images} and ${next.images} images of validation`
  return { ...independentDrop(now, next), how }
}

function pairedBetween(
  first: Measured,
  second: Measured,
  [n, m]: readonly [number, number]
): AccuracyDrop | undefined {
  const isSame =
    first.dataset !== null &&
    first.dataset.id === second.dataset?.id &&
    first.dataset.version === second.dataset.version
  if (!isSame || n !== m) return undefined
  const before = readAnswers(first.report.validationAnswers ?? '', n)
  const after = readAnswers(second.report.validationAnswers ?? '', n)
  return before && after && pairedDrop(before, after)
}

const nothingServed = 'the alias serves nothing that could be compared'
const unknown = (detail: string): Finding => ({ measured: null, passed: false, detail })

const conditions = ({ batch, threads, machine }: Latency): string =>
  `batch ${batch}, ${threads} threads, ${machine.cpu}, ONNX Runtime ${machine.onnxruntime}`

const wholly = (certain: boolean): string => (certain ? ' for the whole interval' : '')
const round = (value: number): number => Number(value.toPrecision(4))
const range = (ends: readonly number[]): string => ends.map(round).join(' to ')
