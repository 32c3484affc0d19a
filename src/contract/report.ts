/**
 * What is measured of a variant, and what a published version says.
 *
 * Written by the trainer (accuracy, from the exported bytes) and the api host (latency); stored with
 * the version and shown unchanged by `GET /v1/models/{name}/versions/{n}`.
 */
import { type Static, Type } from 'typebox'

const variantNames = ['baseline', 'pruned', 'int8'] as const
export const VariantName = Type.Enum(variantNames)
export type VariantName = Static<typeof VariantName>

const Interval = Type.Array(Type.Number(), { minItems: 2, maxItems: 2 })

export const Estimate = Type.Object(
  { value: Type.Number(), ci95: Interval, images: Type.Integer() },
  { $id: 'Estimate' }
)
export type Estimate = Static<typeof Estimate>

export const Machine = Type.Object(
  { cpu: Type.String(), features: Type.Array(Type.String()), onnxruntime: Type.String() },
  { $id: 'Machine' }
)
export type Machine = Static<typeof Machine>

export const Latency = Type.Object(
  {
    batch: Type.Integer(),
    threads: Type.Integer(),
    medianMs: Type.Number(),
    p90Ms: Type.Number(),
    runs: Type.Integer(),
    noisy: Type.Boolean(),
    machine: Machine
  },
  { $id: 'Latency' }
)
export type Latency = Static<typeof Latency>

export const VariantReport = Type.Object(
  {
    from: Type.Union([VariantName, Type.Null()]),
    file: Type.String(),
    bytes: Type.Integer(),
    parameters: Type.Integer(),
    macs: Type.Integer(),
    accuracy: Type.Object({ validation: Estimate, test: Estimate }),
    perClass: Type.Array(
      Type.Object({
        label: Type.String(),
        precision: Type.Union([Type.Number(), Type.Null()]),
        recall: Type.Union([Type.Number(), Type.Null()]),
        images: Type.Integer()
      })
    ),
    confusion: Type.Array(Type.Array(Type.Integer()), {
      description: 'Test split: row = true class, column = predicted class'
    }),
    calibrationError: Type.Number({ description: 'Expected calibration error, 15 bins' }),
    latency: Latency,
    versusBaseline: Type.Object({
      accuracyDrop: Type.Object({ value: Type.Number(), ci95: Interval }),
      faster: Type.Number(),
      smaller: Type.Number()
    }),
    goal: Type.Union([Type.Object({ verdict: Type.String() }), Type.Null()])
  },
  { $id: 'VariantReport' }
)
export type VariantReport = Static<typeof VariantReport>

/** Everything a completed job publishes, except what the catalogue adds (number, time, artifacts). */
export const PublishedReport = Type.Object(
  {
    labels: Type.Array(Type.String()),
    network: Type.Object({
      architecture: Type.String(),
      inputSize: Type.Integer(),
      channels: Type.Integer(),
      resize: Type.String()
    }),
    recommended: VariantName,
    recommendation: Type.String(),
    variants: Type.Record(Type.String(), VariantReport)
  },
  { $id: 'PublishedReport' }
)
export type PublishedReport = Static<typeof PublishedReport>
