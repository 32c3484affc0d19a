/** Promotion: an alias is pointed at a version that has passed a gate; and the alias with its history. */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'
import { Alias, AliasTarget, VersionNumber } from './model.ts'
import { VariantName } from './report.ts'
import { Rollback, RolledBack } from './rollback.ts'

/** Bounds on what was measured of the version. Accuracies are those of the validation split. */
export const Gate = Type.Object(
  {
    minAccuracy: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    maxAccuracyDrop: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'Against what the alias serves, as a fraction: 0.005 is half a point. Paired where both answered the same images'
      })
    ),
    maxLatencyRatio: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1000,
        description: 'Median latency as a multiple of that of what the alias serves'
      })
    ),
    maxSizeBytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Of the ONNX file'
      })
    ),
    certain: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether the bounds on accuracy must hold for the whole 95 % interval; else for the estimate'
      })
    )
  },
  { $id: 'Gate', additionalProperties: false }
)
export type Gate = Static<typeof Gate>

export const bounds = ['minAccuracy', 'maxAccuracyDrop', 'maxLatencyRatio', 'maxSizeBytes'] as const
const Bound = Type.Enum(bounds)

/** What is promoted: a version, or the target of another alias. */
export const Promotion = Type.Object(
  {
    version: Type.Optional(VersionNumber),
    variant: Type.Optional(VariantName),
    from: Type.Optional(Name),
    gate: Type.Optional(Gate)
  },
  { $id: 'Promotion', additionalProperties: false }
)
export type Promotion = Static<typeof Promotion>

/** A bound of the gate beside what was measured. */
export const Comparison = Type.Object(
  {
    bound: Bound,
    allowed: Type.Number(),
    measured: Type.Union([Type.Number(), Type.Null()], {
      description: 'Null when it was never measured, or cannot be compared'
    }),
    ci95: Type.Optional(Type.Array(Type.Number(), { minItems: 2, maxItems: 2 })),
    passed: Type.Boolean(),
    detail: Type.String()
  },
  { $id: 'Comparison' }
)
export type Comparison = Static<typeof Comparison>

const Promoted = Type.Object(
  {
    at: Type.String(),
    what: Type.Literal('promoted'),
    to: AliasTarget,
    replaced: Type.Array(AliasTarget),
    compared: Type.Array(Comparison)
  },
  { $id: 'Promoted' }
)

export const AliasEvent = Type.Union([RolledBack, Promoted], { $id: 'AliasEvent' })
export type AliasEvent = Static<typeof AliasEvent>

/** An alias with what watches it and what has happened to it. */
export const AliasState = Type.Object(
  {
    ...Alias.properties,
    rollback: Type.Union([Rollback, Type.Null()]),
    events: Type.Array(AliasEvent, { description: 'Newest first, at most 20' })
  },
  { $id: 'AliasState' }
)
export type AliasState = Static<typeof AliasState>

export const PromotionAnswer = Type.Object(
  { ...AliasState.properties, compared: Type.Array(Comparison) },
  { $id: 'PromotionAnswer' }
)
export type PromotionAnswer = Static<typeof PromotionAnswer>
