/** Jobs as callers write and read them: the spec, the job document, metrics. */
import { type Static, Type } from 'typebox'
import { Problem } from './problem.ts'
import { presets, Recipe, ResolvedRecipe } from './recipe.ts'

export const Name = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' })

export const JobSpec = Type.Object(
  {
    dataset: Type.String({
      pattern:
        '^[a-z0-9][a-z0-9._-]{0,62}(@[1-9][0-9]{0,8})?$|^ds_[A-Za-z0-9]+(@[1-9][0-9]{0,8})?$',
      description: 'Name or id; `digits` is the newest version, `digits@3` the third'
    }),
    model: Name,
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffffffff })),
    alias: Type.Optional(Name),
    recipe: Type.Optional(
      Type.Union([Type.Enum(presets), Recipe], {
        description: 'A preset by name, or a recipe that extends one'
      })
    ),
    limits: Type.Optional(
      Type.Object(
        { seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000 })) },
        { additionalProperties: false }
      )
    )
  },
  { $id: 'JobSpec', additionalProperties: false }
)
export type JobSpec = Static<typeof JobSpec>

export const jobKinds = ['train', 'optimize', 'evaluate', 'trial'] as const
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
    createdAt: Type.String(),
    startedAt: Type.Union([Type.String(), Type.Null()]),
    finishedAt: Type.Union([Type.String(), Type.Null()]),
    stopReason: Type.Union([Type.String(), Type.Null()]),
    error: Type.Union([Problem, Type.Null()]),
    result: Type.Union([
      Type.Object({
        model: Type.String(),
        version: Type.Integer(),
        recommended: Type.String()
      }),
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

/** What a trainer must know of its job. Handed out when a worker claims an attempt. */
export const Assignment = Type.Object(
  {
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
    recipe: ResolvedRecipe,
    /** Seconds of running time that remain, or null without a limit. */
    secondsLeft: Type.Union([Type.Number(), Type.Null()]),
    /** Newest first; the trainer falls back to the next when one is damaged. */
    checkpoints: Type.Array(
      Type.Object({ name: Type.String(), sha256: Type.String(), bytes: Type.Integer() })
    )
  },
  { $id: 'Assignment' }
)
export type Assignment = Static<typeof Assignment>
