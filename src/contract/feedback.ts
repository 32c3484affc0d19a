/** Feedback: what an image that was predicted really showed, and how often the model was right. */
import { type Static, Type } from 'typebox'
import { AddedImages } from './dataset.ts'
import { predictionLimits } from './prediction.ts'
import { Problem } from './problem.ts'
import { Estimate, VariantName } from './report.ts'

const feedbackLimits = { items: 200 } as const

const members = {
  prediction: Type.String({
    minLength: 1,
    maxLength: 100,
    description: 'The id of a prediction, such as `pred_...`'
  }),
  index: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: predictionLimits.images - 1,
      default: 0,
      description: 'Which image of the request'
    })
  ),
  label: Type.String({ minLength: 1, maxLength: 400, description: 'What it really showed' })
}

export const FeedbackItem = Type.Object(members, {
  $id: 'FeedbackItem',
  additionalProperties: false
})
export type FeedbackItem = Static<typeof FeedbackItem>

export const FeedbackBatch = Type.Object(
  {
    items: Type.Array(FeedbackItem, { minItems: 1, maxItems: feedbackLimits.items })
  },
  { $id: 'FeedbackBatch', additionalProperties: false }
)
export type FeedbackBatch = Static<typeof FeedbackBatch>

/** One image that is to be added to a dataset; in a multipart form beside the file `image`. */
export const FeedbackForm = Type.Object(
  {
    ...members,
    addTo: Type.String({
      minLength: 1,
      maxLength: 100,
      description: 'Name or id of the dataset that the image is added to under this label'
    })
  },
  { additionalProperties: false }
)

export const AddedTo = Type.Object(
  { dataset: Type.String(), ...AddedImages.properties },
  { $id: 'AddedTo' }
)
export type AddedTo = Static<typeof AddedTo>

export const Feedback = Type.Object(
  {
    prediction: Type.String(),
    index: Type.Integer(),
    label: Type.String(),
    predicted: Type.String(),
    score: Type.Number(),
    correct: Type.Boolean(),
    version: Type.Integer(),
    variant: VariantName,
    predictedAt: Type.String(),
    givenAt: Type.String(),
    addedTo: Type.Union([AddedTo, Type.Null()])
  },
  { $id: 'Feedback' }
)
export type Feedback = Static<typeof Feedback>

export const FeedbackAnswer = Type.Union([
  Feedback,
  Type.Object({
    items: Type.Array(Type.Union([Feedback, Type.Object({ error: Problem })]), {
      description: 'In the order in which they were sent; a fault spoils its own place only'
    })
  })
])

export const LiveAccuracy = Type.Object(
  {
    model: Type.String(),
    variants: Type.Array(
      Type.Object({
        version: Type.Integer(),
        variant: VariantName,
        accuracy: Estimate,
        perClass: Type.Array(
          Type.Object({
            label: Type.String(),
            recall: Type.Union([Estimate, Type.Null()], {
              description: 'Null where no image showed it'
            }),
            images: Type.Integer({ description: 'That showed it' }),
            predicted: Type.Integer({ description: 'That were taken for it' })
          })
        ),
        confusion: Type.Array(
          Type.Object({
            label: Type.String(),
            predicted: Type.String(),
            images: Type.Integer()
          }),
          { description: 'Pairs that have come up' }
        )
      })
    )
  },
  { $id: 'LiveAccuracy' }
)
export type LiveAccuracy = Static<typeof LiveAccuracy>
