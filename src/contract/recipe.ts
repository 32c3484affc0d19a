/**
 * The recipe of a job: what a caller may write (Recipe) and what it becomes (ResolvedRecipe).
 *
 * Everything a caller leaves out is filled in by `recipe/resolve.ts`, with a reason; a resolved
 * recipe has no optional member, so no later stage needs a default of its own.
 */
import { type Static, type TSchemaOptions, Type } from 'typebox'

const unit = (options: TSchemaOptions = {}) => Type.Number({ minimum: 0, maximum: 1, ...options })
const range = (minimum: number, maximum: number, description: string) =>
  Type.Array(Type.Number({ minimum, maximum }), { minItems: 2, maxItems: 2, description })
const closed = { additionalProperties: false }

export const AugmentOp = Type.Union(
  [
    Type.Object(
      {
        op: Type.Literal('flip'),
        axis: Type.Optional(
          Type.Union([Type.Literal('horizontal'), Type.Literal('vertical')], {
            default: 'horizontal'
          })
        ),
        probability: Type.Optional(unit({ default: 0.5 }))
      },
      closed
    ),
    Type.Object(
      {
        op: Type.Literal('rotate'),
        degrees: Type.Number({ minimum: 0, maximum: 180, description: 'Drawn from ±degrees' })
      },
      closed
    ),
    Type.Object(
      { op: Type.Literal('scale'), range: range(0.1, 10, 'Zoom factor, drawn log-uniformly') },
      closed
    ),
    Type.Object(
      {
        op: Type.Literal('translate'),
        x: Type.Optional(unit({ description: 'Largest shift as a fraction of the width' })),
        y: Type.Optional(unit({ description: 'Largest shift as a fraction of the height' }))
      },
      closed
    ),
    Type.Object(
      {
        op: Type.Literal('randomCrop'),
        padding: Type.Integer({ minimum: 1, maximum: 64, description: 'Pixels added on each side' })
      },
      closed
    ),
    Type.Object(
      {
        op: Type.Literal('randomResizedCrop'),
        scale: Type.Optional(range(0.01, 1, 'Share of the area that is kept')),
        ratio: Type.Optional(range(0.1, 10, 'Aspect ratio, drawn log-uniformly'))
      },
      closed
    ),
    Type.Object({ op: Type.Literal('brightness'), amount: unit() }, closed),
    Type.Object({ op: Type.Literal('contrast'), amount: unit() }, closed),
    Type.Object({ op: Type.Literal('saturation'), amount: unit() }, closed)
  ],
  { $id: 'AugmentOp' }
)
export type AugmentOp = Static<typeof AugmentOp>

export const architectures = ['simple-cnn', 'resnet-cifar'] as const
const resizeModes = ['stretch', 'cover', 'contain'] as const
const precisions = ['int8'] as const
export const calibrations = ['minmax', 'percentile', 'entropy', 'mse'] as const
export const criteria = ['l2', 'batch-norm-scale', 'taylor'] as const

export const NetworkChoice = Type.Object(
  {
    architecture: Type.Enum(architectures),
    depth: Type.Integer({
      minimum: 5,
      maximum: 110,
      description: 'Weighted layers. resnet-cifar: 6n+2, simple-cnn: 5'
    }),
    width: Type.Number({ minimum: 0.125, maximum: 8, description: 'Channel multiplier' }),
    inputSize: Type.Integer({ minimum: 8, maximum: 256, description: 'Side in pixels' }),
    channels: Type.Union([Type.Literal(1), Type.Literal(3)]),
    resize: Type.Enum(resizeModes)
  },
  closed
)
export type NetworkChoice = Static<typeof NetworkChoice>

const SgdOptions = Type.Object(
  {
    name: Type.Literal('sgd'),
    momentum: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
    nesterov: Type.Boolean(),
    weightDecay: Type.Number({ minimum: 0, maximum: 1 })
  },
  closed
)
const AdamWOptions = Type.Object(
  {
    name: Type.Literal('adamw'),
    beta1: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
    beta2: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
    epsilon: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
    weightDecay: Type.Number({ minimum: 0, maximum: 1 })
  },
  closed
)
export type SgdOptions = Static<typeof SgdOptions>
export type AdamWOptions = Static<typeof AdamWOptions>

export const TrainOptions = Type.Object(
  {
    epochs: Type.Integer({ minimum: 1, maximum: 10_000 }),
    batchSize: Type.Integer({ minimum: 1, maximum: 4096 }),
    optimizer: Type.Union([SgdOptions, AdamWOptions]),
    learningRate: Type.Number({ exclusiveMinimum: 0, maximum: 10 }),
    warmupEpochs: Type.Number({ minimum: 0, maximum: 1000 }),
    schedule: Type.Literal('cosine'),
    labelSmoothing: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
    ema: Type.Union([
      Type.Object({ decay: Type.Number({ minimum: 0, exclusiveMaximum: 1 }) }, closed),
      Type.Null()
    ]),
    earlyStopping: Type.Union([
      Type.Object({ patience: Type.Integer({ minimum: 1, maximum: 10_000 }) }, closed),
      Type.Null()
    ])
  },
  closed
)
export type TrainOptions = Static<typeof TrainOptions>

export const PruneOptions = Type.Object(
  {
    method: Type.Literal('channel'),
    macs: Type.Number({ minimum: 0.05, maximum: 1, description: 'Share of the MACs that is kept' }),
    criterion: Type.Enum(criteria),
    roundTo: Type.Integer({ minimum: 1, maximum: 64, description: 'Kept widths: multiples of it' }),
    epochs: Type.Integer({ minimum: 0, maximum: 10_000, description: 'Fine-tuning epochs' }),
    learningRate: Type.Number({ exclusiveMinimum: 0, maximum: 10 }),
    temperature: Type.Number({ minimum: 1, maximum: 100, description: 'Distillation temperature' }),
    distillWeight: unit({ description: 'Share of the loss that follows the unpruned network' })
  },
  closed
)
export type PruneOptions = Static<typeof PruneOptions>

export const QuantizeOptions = Type.Object(
  {
    precision: Type.Enum(precisions),
    calibration: Type.Enum(calibrations),
    images: Type.Integer({ minimum: 1, maximum: 10_000, description: 'Calibration images' })
  },
  closed
)
export type QuantizeOptions = Static<typeof QuantizeOptions>

export const presets = ['balanced'] as const

/** A recipe with every choice made; what a trainer is given and what a job shows. */
export const ResolvedRecipe = Type.Object(
  {
    preset: Type.Enum(presets),
    network: NetworkChoice,
    augment: Type.Array(AugmentOp, { maxItems: 32 }),
    train: TrainOptions,
    prune: Type.Union([PruneOptions, Type.Null()]),
    quantize: Type.Union([QuantizeOptions, Type.Null()])
  },
  { $id: 'ResolvedRecipe', additionalProperties: false }
)
export type ResolvedRecipe = Static<typeof ResolvedRecipe>

const partialOptimizer = Type.Union([
  Type.Object({ ...Type.Partial(SgdOptions).properties, name: Type.Literal('sgd') }, closed),
  Type.Object({ ...Type.Partial(AdamWOptions).properties, name: Type.Literal('adamw') }, closed)
])

/** What a caller may write. Explicit values are constraints; the rest is resolved with a reason. */
export const Recipe = Type.Object(
  {
    extends: Type.Optional(Type.Enum(presets)),
    network: Type.Optional(Type.Partial(NetworkChoice, closed)),
    augment: Type.Optional(Type.Array(AugmentOp, { maxItems: 32 })),
    train: Type.Optional(
      Type.Object(
        { ...Type.Partial(TrainOptions).properties, optimizer: Type.Optional(partialOptimizer) },
        closed
      )
    ),
    prune: Type.Optional(Type.Union([Type.Partial(PruneOptions, closed), Type.Null()])),
    quantize: Type.Optional(Type.Union([Type.Partial(QuantizeOptions, closed), Type.Null()]))
  },
  { $id: 'Recipe', additionalProperties: false }
)
export type Recipe = Static<typeof Recipe>
