/** Explanations: what callers ask and are told, and what the process that computes them is told. */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'
import { VariantName } from './report.ts'

const explanationMethods = ['occlusion', 'grad-cam'] as const
const Method = Type.Enum(explanationMethods, {
  default: 'occlusion',
  description:
    'occlusion: how far the probability of the label drops where a patch of the mean colour lies; of any variant. grad-cam: gradients of its logit by the last feature map; of baseline and pruned'
})
export type ExplanationMethod = Static<typeof Method>

export const ExplanationQuery = Type.Object(
  {
    alias: Type.Optional(Name),
    version: Type.Optional(Type.Integer({ minimum: 1, maximum: 999_999_999 })),
    variant: Type.Optional(VariantName),
    label: Type.Optional(
      Type.String({ minLength: 1, maxLength: 400, description: 'The predicted one when left out' })
    ),
    method: Method
  },
  { additionalProperties: false }
)

const found = {
  score: Type.Number({ description: 'Probability of the label on the whole image' }),
  shape: Type.Array(Type.Integer(), {
    minItems: 2,
    maxItems: 2,
    description:
      'Rows and columns of the maps: those of the network’s input (occlusion), or of its last feature map (grad-cam)'
  }),
  matrix: Type.Array(Type.Array(Type.Number({ minimum: 0, maximum: 1 })), {
    description:
      'What speaks for the label: `raw` without its negative values, divided by its largest; all 0 if nothing does'
  }),
  raw: Type.Array(Type.Array(Type.Number()), {
    description:
      'Mean drop in probability over the patches that cover a pixel (occlusion), or the weighted sum of the feature maps (grad-cam); negative against the label'
  })
}

export const Explanation = Type.Object(
  {
    id: Type.String(),
    model: Type.String(),
    version: Type.Integer(),
    variant: VariantName,
    method: Method,
    label: Type.String(),
    ...found,
    overlay: Type.String({
      description: 'PNG in base64: the map over the image as the network sees it, enlarged'
    })
  },
  { $id: 'Explanation' }
)
/** Rows of values. */
export type HeatMap = number[][]

/** What an explainer is to do with one encoded image. It reads these files and writes none. */
export interface ExplainOrder {
  readonly method: ExplanationMethod
  readonly image: Uint8Array
  readonly input: {
    readonly size: number
    readonly channels: 1 | 3
    readonly resize: 'stretch' | 'cover' | 'contain'
  }
  readonly classes: number
  /** Class index; null for the predicted one. */
  readonly label: number | null
  /** The ONNX file, or for grad-cam `graph.json` and `weights.safetensors`. */
  readonly paths: readonly string[]
}

/** It has decoded whatever was sent, so the api checks what it answers. */
export const ExplainAnswer = Type.Union([
  Type.Object({
    type: Type.Literal('done'),
    label: Type.Integer({ minimum: 0 }),
    ...found,
    overlay: Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$' })
  }),
  Type.Object({ type: Type.Literal('failed'), code: Type.String(), detail: Type.String() })
])
export type ExplainAnswer = Static<typeof ExplainAnswer>
