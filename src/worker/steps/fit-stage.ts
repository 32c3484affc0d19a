/**
 * One training run as part of a job: metrics and progress go out, checkpoints are written, orders obeyed.
 *
 * Shared by the first training and by fine-tuning after pruning, which differ in what they are given.
 */
import type { TrainOptions } from '../../contract/recipe.ts'
import type { Pack } from '../../dataset/pack.ts'
import type { Weights } from '../../network/graph.ts'
import { fit } from '../../train/fit.ts'
import type { FitState } from '../../train/state.ts'
import type { Teacher } from '../../train/train-step.ts'
import type { JobContext, Model } from '../job-context.ts'
import { Interrupted } from '../orders.ts'
import type { PipelineState } from '../pipeline-state.ts'

export interface FitStage {
  readonly stage: 'train' | 'prune'
  readonly model: Model
  readonly pack: Pack
  readonly options: TrainOptions
  readonly teacher?: Teacher
  /** The state of the job around this run; `fit` in it is where the run goes on. */
  readonly state: PipelineState
}

export interface FitStageResult {
  readonly weights: Weights
  readonly stopReason: PipelineState['stopReason']
}

/** Trains to the end. @throws Interrupted after a cancel, or after a checkpoint was asked for. */
export async function fitStage(context: JobContext, run: FitStage): Promise<FitStageResult> {
  const { assignment, engine, channel, checkpoints, decisions, progress } = context
  const { stage, model, pack, options, teacher, state } = run
  const save = (capture: () => FitState): Promise<void> =>
    checkpoints.write(() => ({ ...state, fit: capture() }))
  progress.at(stage, (state.fit?.progress.epoch ?? 0) / options.epochs)
  const result = await fit({
    engine,
    ...model,
    train: pack.train,
    validation: pack.validation,
    options,
    augment: assignment.recipe.augment,
    seed: assignment.seed,
    stage,
    teacher,
    resume: state.fit ?? undefined,
    // A stop before the first step would leave no model: it is decided after it.
    control: (updates) =>
      updates === 0 ? (channel.ending ?? 'continue') : decisions.control(stage, updates),
    isEnding: () => channel.ending !== null,
    async onEpoch({ metric }) {
      await channel.send({ type: 'metric', metric })
      progress.at(stage, metric.epoch / options.epochs)
    },
    isCheckpointDue: (place) => checkpoints.isDue(place),
    onCheckpoint: save
  })
  if (result.kind === 'cancelled') throw new Interrupted('cancel')
  if (result.kind === 'checkpointed') {
    await save(() => result.state)
    throw new Interrupted('checkpoint')
  }
  channel.log('info', describe(stage, result, options))
  return { weights: result.weights, stopReason: decisions.reason(stage) ?? state.stopReason }
}

function describe(
  stage: string,
  { best, epochs, stopReason }: Extract<Awaited<ReturnType<typeof fit>>, { kind: 'finished' }>,
  options: TrainOptions
): string {
  const accuracy = `${(100 * best.accuracy).toFixed(2)} %`
  return `${stage}: ended after ${epochs} of ${options.epochs} epochs (${stopReason}); best was epoch ${best.epoch} with validation accuracy ${accuracy}`
}
