/**
 * A sketch counts images by what was answered and by what they look like; it holds no image.
 *
 * The worker makes one of the validation split, with every exported file; the api one of what is served.
 */
import { type Static, Type } from 'typebox'

/** What is compared; the last three of colour images only. */
export const driftAspects = [
  'classes',
  'confidence',
  'brightness',
  'contrast',
  'red',
  'green',
  'blue'
] as const
export const DriftAspect = Type.Enum(driftAspects)
export type DriftAspect = Static<typeof DriftAspect>

/** Bins of every histogram but the one of classes. */
export const sketchBins = 64

const Histogram = (description: string) =>
  Type.Array(Type.Integer({ minimum: 0 }), {
    minItems: sketchBins,
    maxItems: sketchBins,
    description
  })
const level = '4 levels of 0..255 a bin'

export const Sketch = Type.Object(
  {
    images: Type.Integer({ minimum: 0 }),
    classes: Type.Array(Type.Integer({ minimum: 0 }), {
      description: 'Images by predicted class, in the order of the labels'
    }),
    confidence: Histogram('By score of the predicted class: bin = 4 * -log2(1 - score), cut at 63'),
    brightness: Histogram(`By mean of the pixels, ${level}`),
    contrast: Histogram('By standard deviation of the pixels, 2 levels a bin'),
    red: Type.Optional(Histogram(`By mean of red, ${level}; of colour images only`)),
    green: Type.Optional(Histogram(`By mean of green, ${level}`)),
    blue: Type.Optional(Histogram(`By mean of blue, ${level}`))
  },
  { $id: 'Sketch' }
)
export type Sketch = Static<typeof Sketch>

/** What an engine saw of one image that it answered. */
export interface Seen {
  /** Index of the class with the greatest probability, and that probability. */
  readonly predicted: number
  readonly score: number
  /** As in `image/pixel-facts.ts`. */
  readonly brightness: number
  readonly contrast: number
  readonly channels: readonly number[]
  /** Of the bytes that were sent, in hex; null unless it was asked for. */
  readonly sha256: string | null
}
