/**
 * What is found when a published version is judged on a dataset: the task that a worker is handed, and the
 * report that comes back.
 */
import { type Static, Type } from 'typebox'
import { ClassReports, Estimate, Interval, VariantName } from './report.ts'

const judgedSplits = ['test', 'validation', 'train', 'all'] as const
export const JudgedSplit = Type.Enum(judgedSplits, {
  default: 'test',
  description: 'The images that judge'
})
export type JudgedSplit = Static<typeof JudgedSplit>

/** All that a worker must know of a version to judge its files. */
export const EvaluationTask = Type.Object({
  version: Type.Integer({ minimum: 1 }),
  split: JudgedSplit,
  /** Of the model, by class index. */
  labels: Type.Array(Type.String()),
  network: Type.Object({
    inputSize: Type.Integer(),
    channels: Type.Union([Type.Literal(1), Type.Literal(3)]),
    resize: Type.Enum(['stretch', 'cover', 'contain'])
  }),
  /** ONNX files, in the order in which they are judged: the baseline first. */
  variants: Type.Array(
    Type.Object({
      variant: VariantName,
      file: Type.String(),
      sha256: Type.String(),
      bytes: Type.Integer()
    })
  )
})
export type EvaluationTask = Static<typeof EvaluationTask>

export const VariantEvaluationReport = Type.Object(
  {
    accuracy: Estimate,
    perClass: ClassReports,
    confusion: Type.Array(Type.Array(Type.Integer()), {
      description: 'Row = true class, column = predicted class, in the order of `labels`'
    }),
    calibrationError: Type.Number({ description: 'Expected calibration error, 15 bins' }),
    crossEntropy: Type.Number({ description: 'Mean of -log p(true class), in nats' }),
    versusBaseline: Type.Union(
      [
        Type.Object({
          accuracyDrop: Type.Object({ value: Type.Number(), ci95: Interval })
        }),
        Type.Null()
      ],
      { description: 'Paired on the same images; null when the baseline was not evaluated' }
    )
  },
  { $id: 'VariantEvaluationReport' }
)
export type VariantEvaluationReport = Static<typeof VariantEvaluationReport>

export const EvaluationReport = Type.Object(
  {
    images: Type.Integer({ description: 'That were judged' }),
    labels: Type.Array(Type.String(), { description: 'Of the model, by class index' }),
    mapped: Type.Array(Type.String(), {
      description: 'Classes with images in the split, matched by name'
    }),
    variants: Type.Record(Type.String(), VariantEvaluationReport)
  },
  { $id: 'EvaluationReport' }
)
export type EvaluationReport = Static<typeof EvaluationReport>

/** What an evaluation came to. Lists and events leave the reports of the variants out. */
export const EvaluationResult = Type.Object(
  {
    model: Type.String(),
    version: Type.Integer(),
    split: JudgedSplit,
    images: Type.Integer(),
    accuracy: Type.Record(Type.String(), Estimate, { description: 'By variant' }),
    report: Type.Optional(EvaluationReport)
  },
  { $id: 'EvaluationResult' }
)
export type EvaluationResult = Static<typeof EvaluationResult>

/** An evaluation of a version, as a list shows it. */
export const EvaluationItem = Type.Object(
  {
    job: Type.String(),
    state: Type.String(),
    dataset: Type.Object({
      id: Type.String(),
      name: Type.String(),
      version: Type.Union([Type.Integer(), Type.Null()])
    }),
    split: JudgedSplit,
    accuracy: Type.Union([Type.Record(Type.String(), Estimate), Type.Null()], {
      description: 'By variant; null until the job has completed'
    }),
    createdAt: Type.String()
  },
  { $id: 'EvaluationItem' }
)
export type EvaluationItem = Static<typeof EvaluationItem>
