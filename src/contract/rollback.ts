/** When an alias goes back to its stable target by itself: the bounds, and what is written down of it. */
import { type Static, Type } from 'typebox'
import { VariantName } from './report.ts'

const bounds = {
  maxErrorRate: Type.Number({
    minimum: 0,
    exclusiveMaximum: 1,
    description: 'Share of the requests that may fail, other than for the sake of their images'
  }),
  maxLatencyRatio: Type.Number({
    exclusiveMinimum: 1,
    maximum: 1000,
    description: "Median time of an answer, as a multiple of the stable target's"
  })
}
const position = { minimum: 0, maximum: 7 }
const minRequests = Type.Integer({
  minimum: 1,
  maximum: 1_000_000,
  default: 100,
  description: 'Nothing is decided on fewer requests in the window'
})
const windowSeconds = Type.Integer({ minimum: 10, maximum: 86_400, default: 300 })

/** As it is asked for. Of the bounds, those that are left out are not watched. */
export const RollbackWish = Type.Object(
  {
    to: Type.Optional(
      Type.Integer({
        ...position,
        description: 'Position of the stable target; else the one of the largest share is it'
      })
    ),
    maxErrorRate: Type.Optional(bounds.maxErrorRate),
    maxLatencyRatio: Type.Optional(bounds.maxLatencyRatio),
    minRequests: Type.Optional(minRequests),
    windowSeconds: Type.Optional(windowSeconds)
  },
  { $id: 'RollbackWish', additionalProperties: false }
)
export type RollbackWish = Static<typeof RollbackWish>

/** As it holds. */
export const Rollback = Type.Object(
  {
    to: Type.Integer({
      ...position,
      description: 'Position of the stable target, which the others are compared with'
    }),
    maxErrorRate: Type.Union([bounds.maxErrorRate, Type.Null()]),
    maxLatencyRatio: Type.Union([bounds.maxLatencyRatio, Type.Null()]),
    minRequests,
    windowSeconds
  },
  { $id: 'Rollback' }
)
export type Rollback = Static<typeof Rollback>

const TargetFigures = Type.Object(
  {
    version: Type.Integer(),
    variant: VariantName,
    requests: Type.Integer({ description: 'In the window' }),
    failed: Type.Integer(),
    errorRate: Type.Number(),
    medianMs: Type.Union([Type.Number(), Type.Null()], {
      description: 'Of what was answered, to a twentieth; null when nothing was'
    })
  },
  { $id: 'TargetFigures' }
)
export type TargetFigures = Static<typeof TargetFigures>

export const rollbackReasons = ['errors', 'latency'] as const

/** A canary that left its bounds. */
export const RolledBack = Type.Object(
  {
    at: Type.String(),
    what: Type.Literal('rolled-back'),
    reason: Type.Enum(rollbackReasons),
    detail: Type.String(),
    canary: TargetFigures,
    stable: Type.Union([TargetFigures, Type.Null()], { description: 'Null when it was not asked' })
  },
  { $id: 'RolledBack' }
)
export type RolledBack = Static<typeof RolledBack>
