/** Puts watches and events into the shape of the contract: judged as they are now. */
import type { WatchedVariant } from '../catalog/drift.ts'
import type { DriftEvent, DriftReport, DriftStatus, DriftVariant } from '../contract/drift.ts'
import { judge, usableReference, type WatchState } from '../drift/watch.ts'

/** Variants that were asked within a day of the newest image count for the model. */
const currentMs = 86_400_000

export function describeDrift({
  model,
  window,
  variants,
  events
}: {
  readonly model: string
  readonly window: number
  /** Latest first. */
  readonly variants: readonly WatchedVariant[]
  readonly events: readonly DriftEvent[]
}): DriftReport {
  const described = variants.flatMap(describeVariant)
  const newest = Date.parse(described[0]?.newestAt ?? '')
  const current = described.filter(({ newestAt }) => newest - Date.parse(newestAt) <= currentMs)
  return {
    model,
    status: worst(current.map(({ status }) => status)),
    window,
    variants: described,
    events: [...events]
  }
}

function describeVariant(variant: WatchedVariant): DriftVariant[] {
  if (variant.state === null) return []
  const state: WatchState = JSON.parse(variant.state)
  const reference = usableReference(variant.reference)
  const judged = judge(state, { ...variant, reference })
  const aspects = judged.comparisons.map(({ aspect, score, threshold, cells }) => [
    aspect,
    { score, threshold, driftingSince: state.drifting[aspect] ?? null, cells }
  ])
  const drifts = Object.keys(state.drifting).length > 0
  const { source, complete, images } = judged
  return [
    {
      version: variant.version,
      variant: variant.variant,
      status: drifts ? 'drifting' : aspects.length === 0 ? 'insufficient' : 'stable',
      images,
      served: state.served,
      newestAt: new Date(state.newestAt).toISOString(),
      reference: { source, images: judged.reference.images, complete },
      aspects: Object.fromEntries(aspects)
    }
  ]
}

function worst(statuses: readonly DriftStatus[]): DriftStatus {
  if (statuses.includes('drifting')) return 'drifting'
  return statuses.includes('stable') ? 'stable' : 'insufficient'
}
