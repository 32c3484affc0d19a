/** Drift: how what a model is asked differs from what it was validated on, as callers read it. */
import { type Static, Type } from 'typebox'
import { VariantName } from './report.ts'
import { DriftAspect } from './sketch.ts'

const driftStatuses = ['insufficient', 'stable', 'drifting'] as const
export const DriftStatus = Type.Enum(driftStatuses, {
  description: 'insufficient: too few images were served to say anything'
})
export type DriftStatus = Static<typeof DriftStatus>

const AspectReport = Type.Object({
  score: Type.Number({ description: 'Population stability index, 0 where nothing has changed' }),
  threshold: Type.Number({
    description: 'The greater of 0.2 and what chance alone exceeds once in a thousand looks'
  }),
  driftingSince: Type.Union([Type.String(), Type.Null()]),
  cells: Type.Array(
    Type.Object({
      name: Type.String(),
      reference: Type.Number({ description: 'Share of the reference' }),
      served: Type.Number({ description: 'Share of the newest images' })
    })
  )
})
export type AspectReport = Static<typeof AspectReport>

const DriftVariant = Type.Object({
  version: Type.Integer(),
  variant: VariantName,
  status: DriftStatus,
  images: Type.Integer({ description: 'The newest, which are judged' }),
  served: Type.Integer({ description: 'All that were counted' }),
  newestAt: Type.String(),
  reference: Type.Object({
    source: Type.Enum(['training', 'first-served'], {
      description:
        'training: the validation split. first-served: the first images that were served, where the version has no sketch of its own, or one of too few images'
    }),
    images: Type.Integer(),
    complete: Type.Boolean()
  }),
  aspects: Type.Record(Type.String(), AspectReport, {
    description: 'Empty while too few images were served'
  })
})
export type DriftVariant = Static<typeof DriftVariant>

export const DriftEvent = Type.Object(
  {
    at: Type.String(),
    version: Type.Integer(),
    variant: VariantName,
    aspect: DriftAspect,
    event: Type.Enum(['tripped', 'cleared']),
    score: Type.Number(),
    threshold: Type.Number(),
    images: Type.Integer()
  },
  { $id: 'DriftEvent' }
)
export type DriftEvent = Static<typeof DriftEvent>

export const DriftReport = Type.Object(
  {
    model: Type.String(),
    status: DriftStatus,
    window: Type.Integer({ description: 'The newest images that are judged, at most' }),
    variants: Type.Array(DriftVariant, { description: 'Those that were asked, latest first' }),
    events: Type.Array(DriftEvent, { description: 'Newest first, at most 200' })
  },
  { $id: 'DriftReport' }
)
export type DriftReport = Static<typeof DriftReport>
