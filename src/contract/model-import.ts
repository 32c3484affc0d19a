/**
 * Models made elsewhere: what their sender says of them, and the messages between the api and the process
 * that tries one, over IPC. That process has read hostile bytes, so the api checks its answer.
 */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'
import { ModelSource, VariantName } from './report.ts'

const figure = { minimum: -1e6, maximum: 1e6 }
const scaling = Type.Union([
  Type.Number(figure),
  Type.Array(Type.Number(figure), { minItems: 1, maxItems: 3 })
])

/** How pixels from 0 to 255 become what the model takes: (pixel * scale - mean) / std. */
const ModelInput = Type.Object(
  {
    order: Type.Optional(Type.Enum(['rgb', 'bgr'], { default: 'rgb' })),
    scale: Type.Optional(scaling),
    mean: Type.Optional(scaling),
    std: Type.Optional(scaling),
    size: Type.Optional(
      Type.Integer({
        minimum: 8,
        maximum: 1024,
        description: 'Side in pixels; needed where the model takes any'
      })
    )
  },
  { $id: 'ModelInput', additionalProperties: false }
)
export type ModelInput = Static<typeof ModelInput>

const ModelOutputs = Type.Enum(['logits', 'probabilities'])
export type ModelOutputs = Static<typeof ModelOutputs>

/** What is said of a model besides its labels; the fields of the form that are no files. */
export const ModelImportFields = Type.Object(
  {
    input: ModelInput,
    outputs: ModelOutputs,
    output: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
    resize: Type.Enum(['stretch', 'cover', 'contain'], { default: 'stretch' }),
    variant: Type.Enum(VariantName.enum, { default: 'baseline' }),
    alias: Type.Optional(Name)
  },
  { additionalProperties: false }
)
export type ModelImportFields = Static<typeof ModelImportFields>

/** What the process is to read, write and try. */
export interface ProbeOrder {
  /** ONNX file that was sent. */
  readonly source: string
  /** File that does not exist yet. */
  readonly target: string
  readonly classes: number
  /** Images of the largest batch that will be asked of it. */
  readonly maxBatch: number
  readonly said: Pick<ModelImportFields, 'input' | 'outputs' | 'output'>
}

export const ProbedModel = Type.Object({
  inputSize: Type.Integer({ minimum: 1 }),
  channels: Type.Enum([1, 3]),
  parameters: Type.Integer({ minimum: 0 }),
  source: ModelSource
})
export type ProbedModel = Static<typeof ProbedModel>

export const ProbeAnswer = Type.Union([
  Type.Object({ type: Type.Literal('taken'), model: ProbedModel }),
  Type.Object({
    type: Type.Literal('refused'),
    code: Type.String(),
    detail: Type.String({ maxLength: 4000 }),
    errors: Type.Array(
      Type.Object({
        pointer: Type.String(),
        detail: Type.String({ maxLength: 4000 }),
        received: Type.Optional(Type.Unknown())
      }),
      { maxItems: 20 }
    )
  })
])
export type ProbeAnswer = Static<typeof ProbeAnswer>
