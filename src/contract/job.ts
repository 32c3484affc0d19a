/** Jobs as callers write and read them: the spec, the job document, metrics. */
import { type Static, Type } from 'typebox'
import { EvaluationResult, EvaluationTask, JudgedSplit } from './evaluation.ts'
import { Problem } from './problem.ts'
import { presets, Recipe, ResolvedRecipe } from './recipe.ts'
import { VariantName } from './report.ts'
import { TraceContext } from './trace.ts'

export const Name = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' })

export const jobPriorities = ['low', 'normal', 'high'] as const
export type JobPriority = (typeof jobPriorities)[number]

export const webhookEvents = ['completed', 'failed', 'cancelled'] as const
export type WebhookEvent = (typeof webhookEvents)[number]

/** Where a job's end is told, signed after Standard Webhooks. */
export const Webhook = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 2000, description: 'https, and a public address' }),
    events: Type.Optional(
      Type.Array(Type.Enum(webhookEvents), {
        minItems: 1,
        uniqueItems: true,
        description: 'Ends to be told of; all of them when left out'
      })
    )
  },
  { $id: 'Webhook', additionalProperties: false }
)
export type Webhook = Static<typeof Webhook>

/** What may be said of a job of any kind. */
const common = {
  dataset: Type.String({
    pattern: '^[a-z0-9][a-z0-9._-]{0,62}(@[1-9][0-9]{0,8})?$|^ds_[A-Za-z0-9]+(@[1-9][0-9]{0,8})?$',
    description: 'Name or id; `digits` is the newest version, `digits@3` the third'
  }),
  priority: Type.Optional(
    Type.Enum(jobPriorities, {
      default: 'normal',
      description: 'Jobs of a higher priority start first; among equals the callers take turns'
    })
  ),
  webhook: Type.Optional(Webhook),
  limits: Type.Optional(
    Type.Object(
      { seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000 })) },
      { additionalProperties: false }
    )
  )
}

export const JobSpec = Type.Object(
  {
    ...common,
    model: Name,
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffffffff })),
    alias: Type.Optional(Name),
    recipe: Type.Optional(
      Type.Union([Type.Enum(presets), Recipe], {
        description: 'A preset by name, or a recipe that extends one'
      })
    )
  },
  { $id: 'JobSpec', additionalProperties: false }
)
export type JobSpec = Static<typeof JobSpec>

/** What a published version is to be judged on. Model and version are named by the address. */
export const EvaluationSpec = Type.Object(
  {
    ...common,
    split: Type.Optional(JudgedSplit),
    variants: Type.Optional(
      Type.Array(VariantName, {
        minItems: 1,
        description: 'All that the version has when left out'
      })
    )
  },
  { $id: 'EvaluationSpec', additionalProperties: false }
)
export type EvaluationSpec = Static<typeof EvaluationSpec>

/** An evaluation's spec with what its address names. */
export type VersionEvaluationSpec = EvaluationSpec & {
  readonly model: string
  readonly version: number
}

export const jobKinds = ['train', 'optimize', 'evaluate', 'trial'] as const
/** Kinds that there are jobs of. */
export type JobKind = Extract<(typeof jobKinds)[number], 'train' | 'evaluate'>
export const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const
export type JobState = (typeof jobStates)[number]
const stages = ['prepare', 'train', 'prune', 'quantize', 'evaluate', 'publish'] as const
export const Stage = Type.Enum(stages)
export type Stage = Static<typeof Stage>

/** A job as callers see it. */
export const Job = Type.Object(
  {
    id: Type.String(),
    kind: Type.Enum(jobKinds),
    parent: Type.Union([Type.String(), Type.Null()]),
    state: Type.Enum(jobStates),
    stage: Type.Union([Stage, Type.Null()]),
    progress: Type.Number({ minimum: 0, maximum: 1 }),
    etaSeconds: Type.Union([Type.Integer(), Type.Null()]),
    attempt: Type.Integer({ minimum: 0 }),
    dataset: Type.Object({
      id: Type.String(),
      name: Type.String(),
      version: Type.Union([Type.Integer(), Type.Null()], {
        description: 'Null while the dataset is being imported'
      })
    }),
    model: Type.String(),
    alias: Type.Union([Type.String(), Type.Null()]),
    recipe: Type.Union([ResolvedRecipe, Type.Null()], {
      description: 'Resolved in full; null while the dataset is being imported'
    }),
    reasons: Type.Record(Type.String(), Type.String(), {
      description: 'Why each value that was left open is what it is, by pointer'
    }),
    goal: Type.Null(),
    limits: Type.Union([Type.Object({ seconds: Type.Optional(Type.Integer()) }), Type.Null()]),
    seed: Type.Integer(),
    priority: Type.Enum(jobPriorities),
    webhook: Type.Union([Webhook, Type.Null()]),
    bitExact: Type.Union([Type.Boolean(), Type.Null()], {
      description:
        'Whether every attempt so far ran on the same engine, library, CPU class and threads, so that the result is that of an undisturbed run; null before the first'
    }),
    createdAt: Type.String(),
    startedAt: Type.Union([Type.String(), Type.Null()]),
    finishedAt: Type.Union([Type.String(), Type.Null()]),
    stopReason: Type.Union([Type.String(), Type.Null()]),
    error: Type.Union([Problem, Type.Null()]),
    evaluation: Type.Union(
      [
        Type.Object({
          version: Type.Integer(),
          split: JudgedSplit,
          variants: Type.Union([Type.Array(VariantName), Type.Null()], {
            description: 'Null: all that the version has'
          })
        }),
        Type.Null()
      ],
      { description: 'What is evaluated; null of other jobs' }
    ),
    result: Type.Union([
      Type.Object({
        model: Type.String(),
        version: Type.Integer(),
        recommended: Type.String()
      }),
      EvaluationResult,
      Type.Null()
    ])
  },
  { $id: 'Job' }
)
export type Job = Static<typeof Job>

export const Metric = Type.Object(
  {
    stage: Stage,
    epoch: Type.Integer({ minimum: 1 }),
    at: Type.String(),
    loss: Type.Number(),
    accuracy: Type.Number(),
    validation: Type.Object({ loss: Type.Number(), accuracy: Type.Number() }),
    learningRate: Type.Number(),
    imagesPerSecond: Type.Number()
  },
  { $id: 'Metric' }
)
export type Metric = Static<typeof Metric>

/** All that the bits of a training depend on, besides its recipe, data and seed. */
export const Environment = Type.Object(
  {
    engine: Type.String({ maxLength: 100 }),
    version: Type.String({ maxLength: 100, description: 'Of the library that computes' }),
    cpu: Type.String({
      maxLength: 500,
      description: 'Class: the instruction sets it computes with'
    }),
    threads: Type.Integer({ minimum: 1 })
  },
  { $id: 'Environment' }
)
export type Environment = Static<typeof Environment>

/** An early end of a training stage, by order or by clock, and the place at which it was taken. */
export const Decision = Type.Object(
  {
    stage: Stage,
    reason: Type.Enum(['stopped', 'limit']),
    updates: Type.Integer({ minimum: 0, description: 'Training steps of the stage before it' })
  },
  { $id: 'Decision' }
)
export type Decision = Static<typeof Decision>

/** What every trainer must know of its job. */
const assigned = {
  job: Type.String(),
  attempt: Type.Integer({ minimum: 1 }),
  dataset: Type.Object({
    id: Type.String(),
    name: Type.String(),
    version: Type.Integer(),
    hash: Type.String()
  }),
  model: Type.String(),
  seed: Type.Integer(),
  /** Seconds of running time that remain, or null without a limit. */
  secondsLeft: Type.Union([Type.Number(), Type.Null()]),
  /** Where the first attempt ran; null at the first. Threads are set to what it says. */
  environment: Type.Union([Environment, Type.Null()]),
  /** What earlier attempts decided by the clock, to be decided again at the same place. */
  decisions: Type.Array(Decision),
  /** What the job may take on the worker; beyond it, it is ended. */
  allowance: Type.Object({ memoryBytes: Type.Integer(), diskBytes: Type.Integer() }),
  /** Newest first; the trainer falls back to the next when one is damaged. */
  checkpoints: Type.Array(
    Type.Object({ name: Type.String(), sha256: Type.String(), bytes: Type.Integer() })
  ),
  /** What earlier attempts have handed over; the same bytes need not be sent again. */
  artifacts: Type.Array(Type.Object({ name: Type.String(), sha256: Type.String() })),
  /** What the attempt is part of, where anything is traced. */
  trace: Type.Optional(TraceContext)
}

const TrainAssignment = Type.Object({
  ...assigned,
  kind: Type.Literal('train'),
  recipe: ResolvedRecipe
})
export type TrainAssignment = Static<typeof TrainAssignment>

const EvaluateAssignment = Type.Object({
  ...assigned,
  kind: Type.Literal('evaluate'),
  evaluation: EvaluationTask
})
export type EvaluateAssignment = Static<typeof EvaluateAssignment>

/** Handed out when a worker claims an attempt. */
export const Assignment = Type.Union([TrainAssignment, EvaluateAssignment], { $id: 'Assignment' })
export type Assignment = Static<typeof Assignment>
