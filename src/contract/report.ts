/**
 * What is measured of a variant, and what a published version says.
 *
 * Written by the trainer (accuracy, from the exported bytes) and the api host (latency); stored with
 * the version and shown unchanged by `GET /v1/models/{name}/versions/{n}`. Of a model made elsewhere, the
 * api writes what it knows.
 */
import { type Static, type TSchema, Type } from 'typebox'
import { Sketch } from './sketch.ts'

export const variantNames = ['baseline', 'pruned', 'int8'] as const
export const VariantName = Type.Enum(variantNames)
export type VariantName = Static<typeof VariantName>

export const Interval = Type.Array(Type.Number(), { minItems: 2, maxItems: 2 })

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

export const ClassReports = Type.Array(
  Type.Object({
    label: Type.String(),
    precision: Type.Union([Type.Number(), Type.Null()]),
    recall: Type.Union([Type.Number(), Type.Null()]),
    images: Type.Integer()
  })
)

export const VariantReport = Type.Object(
  {
    from: Type.Union([VariantName, Type.Null()]),
    file: Type.String(),
    bytes: Type.Integer(),
    parameters: Type.Integer(),
    macs: Type.Integer(),
    accuracy: Type.Object({ validation: Estimate, test: Estimate }),
    validationAnswers: Type.Optional(
      Type.String({
        description:
          'Which images of the validation split were answered rightly: a bit each, base64'
      })
    ),
    perClass: ClassReports,
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
    goal: Type.Union([Type.Object({ verdict: Type.String() }), Type.Null()]),
    /** What is served is compared with it. Versions of earlier releases have none. */
    reference: Type.Optional(Sketch)
  },
  { $id: 'VariantReport' }
)
export type VariantReport = Static<typeof VariantReport>

const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** A variant as a version shows it. Of a model made elsewhere, what nobody has measured is null, or empty. */
const VersionVariant = Type.Object(
  {
    ...VariantReport.properties,
    macs: orNull(VariantReport.properties.macs),
    accuracy: orNull(VariantReport.properties.accuracy),
    calibrationError: orNull(VariantReport.properties.calibrationError),
    versusBaseline: orNull(VariantReport.properties.versusBaseline)
  },
  { $id: 'VersionVariant' }
)
export type VersionVariant = Static<typeof VersionVariant>

const perChannel = orNull(Type.Array(Type.Number(), { maxItems: 3 }))

/** Of a model made elsewhere: what the file said, and how it was made to take pixels and give probabilities. */
export const ModelSource = Type.Object(
  {
    producer: Type.String({ maxLength: 200, description: 'In its own words' }),
    opset: Type.Integer(),
    layout: Type.Enum(['nchw', 'nhwc']),
    type: Type.Enum(['float32', 'uint8']),
    order: Type.Enum(['rgb', 'bgr']),
    scale: perChannel,
    mean: perChannel,
    std: perChannel,
    outputs: Type.Enum(['logits', 'probabilities'])
  },
  { $id: 'ModelSource' }
)
export type ModelSource = Static<typeof ModelSource>

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

/** What a version says of itself: the report of a job, or of a model made elsewhere. */
export const VersionReport = Type.Object({
  ...PublishedReport.properties,
  variants: Type.Record(Type.String(), VersionVariant),
  source: Type.Optional(ModelSource)
})
export type VersionReport = Static<typeof VersionReport>
