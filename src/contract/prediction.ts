/** Predictions: which model is asked, how images may be sent, what comes back. */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'
import { Problem } from './problem.ts'
import { VariantName } from './report.ts'

/** Limits of one request. A batch of any size is served by several requests. */
export const predictionLimits = {
  images: 64,
  bytesPerImage: 20 * 1024 * 1024,
  bytesPerRequest: 64 * 1024 * 1024
} as const

export const imageTypes = ['image/jpeg', 'image/png', 'image/webp', 'image/gif'] as const

export const PredictionQuery = Type.Object(
  {
    alias: Type.Optional(Name),
    version: Type.Optional(Type.Integer({ minimum: 1, maximum: 999_999_999 })),
    variant: Type.Optional(VariantName),
    sticky: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description:
          'Who asks, such as a user id: where an alias shares its traffic, the same one is always answered by the same target'
      })
    ),
    top: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        default: 5,
        description: 'How many labels are listed per image; at most as many as the model knows'
      })
    )
  },
  { additionalProperties: false }
)
export type PredictionQuery = Static<typeof PredictionQuery>

export const EncodedImages = Type.Object(
  {
    images: Type.Array(
      Type.Object(
        {
          b64: Type.String({
            minLength: 1,
            description: 'An encoded image in base64 (RFC 4648 section 4), padded'
          })
        },
        { additionalProperties: false }
      ),
      { minItems: 1, maxItems: predictionLimits.images }
    )
  },
  { $id: 'EncodedImages', additionalProperties: false }
)
export type EncodedImages = Static<typeof EncodedImages>

const Score = Type.Object({ label: Type.String(), score: Type.Number() })

export const Prediction = Type.Union(
  [Type.Object({ ...Score.properties, top: Type.Array(Score) }), Type.Object({ error: Problem })],
  { $id: 'Prediction' }
)
export type Prediction = Static<typeof Prediction>

export const PredictionAnswer = Type.Object(
  {
    id: Type.String(),
    model: Type.String(),
    version: Type.Integer(),
    variant: VariantName,
    predictions: Type.Array(Prediction)
  },
  { $id: 'PredictionAnswer' }
)
export type PredictionAnswer = Static<typeof PredictionAnswer>
