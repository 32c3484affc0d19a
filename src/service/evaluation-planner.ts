/** Checks an evaluation whole before it is queued: the dataset, its classes, the split and the variants. */

import type { NewJob } from '../catalog/jobs.ts'
import type { JudgedVersion } from '../catalog/judged-version.ts'
import type { Catalog } from '../catalog/open.ts'
import type { WebhookTargets } from '../contract/delivery.ts'
import type { JudgedSplit } from '../contract/evaluation.ts'
import type { VersionEvaluationSpec } from '../contract/job.ts'
import type { Fault } from '../errors.ts'
import { type Facts, faultsOfWebhook, locate, refusal } from './job-faults.ts'

interface PlannedFor {
  readonly judged: JudgedVersion
  /** Of a job that was accepted earlier; else the dataset that the spec names. */
  readonly datasetId?: string
  readonly webhookTargets: WebhookTargets
}

/** @throws ServiceError with every fault, its pointers into the spec */
export async function planEvaluation(
  db: Catalog,
  spec: VersionEvaluationSpec,
  { judged, datasetId, webhookTargets }: PlannedFor
): Promise<NewJob> {
  // What was accepted once is not refused because a setting has changed since.
  const others = datasetId === undefined ? faultsOfWebhook(spec, webhookTargets) : []
  others.push(...variantFaults(spec, judged))
  const found = await locate(db, spec.dataset, datasetId)
  if ('pointer' in found) throw refusal([found, ...others])
  const { dataset, version } = found
  // Nothing is drawn, so no seed decides about anything.
  const planned = { kind: 'evaluate', spec, dataset, seed: 0 } as const
  if (version === null) {
    if (others.length > 0) throw refusal(others)
    return { ...planned, plan: null }
  }
  const { facts, number } = version
  const unknown = unknownLabels(spec, { judged, facts })
  others.push(...splitFaults(spec, facts))
  if (unknown !== null) throw refusal([unknown, ...others], 'LABELS_UNKNOWN')
  if (others.length > 0) throw refusal(others)
  return { ...planned, plan: { version: number, hash: facts.hash, recipe: null, reasons: {} } }
}

function variantFaults({ variants = [] }: VersionEvaluationSpec, judged: JudgedVersion): Fault[] {
  const known = judged.variants.map(({ variant }) => variant)
  const detail = `must be a variant that version ${judged.version} has: ${known.join(', ')}`
  return variants.flatMap((variant, i) =>
    known.includes(variant) ? [] : [{ pointer: `/variants/${i}`, detail, received: variant }]
  )
}

function splitFaults({ split = 'test' }: VersionEvaluationSpec, { classes }: Facts): Fault[] {
  if (classes.some((found) => imagesIn(found, split) > 0)) return []
  const of = (name: JudgedSplit) => classes.reduce((sum, found) => sum + imagesIn(found, name), 0)
  const held = (['train', 'validation', 'test'] as const).map((name) => `${name} ${of(name)}`)
  const detail = `must be a split with images; the dataset has ${held.join(', ')}`
  return [{ pointer: '/split', detail, received: split }]
}

/** Most that a refusal names. */
const mostNamed = 20

function unknownLabels(
  { dataset, split = 'test' }: VersionEvaluationSpec,
  { judged, facts }: { readonly judged: JudgedVersion; readonly facts: Facts }
): Fault | null {
  const unknown = facts.classes
    .filter((found) => imagesIn(found, split) > 0 && !judged.labels.includes(found.label))
    .map(({ label }) => label)
  if (unknown.length === 0) return null
  const named = unknown.slice(0, mostNamed).map((label) => JSON.stringify(label))
  const more = unknown.length > mostNamed ? ` and ${unknown.length - mostNamed} more` : ''
  const detail = `must hold classes of the model only; version ${judged.version} has none called ${named.join(', ')}${more}`
  return { pointer: '/dataset', detail, received: dataset }
}

const imagesIn = (
  { train, validation, test }: Facts['classes'][number],
  split: JudgedSplit
): number => (split === 'all' ? train + validation + test : { train, validation, test }[split])
