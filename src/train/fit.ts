/**
 * Trains a network: epochs of compiled steps, validation after each, the best one kept.
 *
 * The order of images is a permutation of (seed, epoch), augmentation and dropout are drawn from
 * (seed, epoch, image) and (seed, update): nothing depends on when or how often the run was interrupted.
 * Steps block; between them the event loop gets a turn, so that orders can arrive.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Metric, Stage } from '../contract/job.ts'
import type { AugmentOp, TrainOptions } from '../contract/recipe.ts'
import { ServiceError } from '../errors.ts'
import type { ImageSource } from '../image/source.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import type { BestEpoch } from './early-stopping.ts'
import { isBetter, isExhausted } from './early-stopping.ts'
import { FitRun } from './fit-run.ts'
import type { FitState } from './state.ts'
import type { Teacher } from './train-step.ts'

export type Control = 'continue' | 'stop' | 'cancel' | 'checkpoint'

export interface EpochReport {
  readonly metric: Metric
  /** Whether this epoch is the best so far. */
  readonly best: boolean
}

export interface FitRequest {
  readonly engine: Engine
  readonly network: Network
  readonly weights: Weights
  readonly train: ImageSource
  readonly validation: ImageSource
  readonly options: TrainOptions
  readonly augment: readonly AugmentOp[]
  readonly seed: number
  /** Named in metrics. */
  readonly stage: Stage
  readonly teacher?: Teacher | undefined
  readonly resume?: FitState | undefined
  readonly onEpoch?: (report: EpochReport) => void | Promise<void>
  /**
   * Asked between batches, with the updates so far. stop: end with the best so far. checkpoint: end with
   * the state.
   */
  readonly control?: (updates: number) => Control | Promise<Control>
  /** Asked while an epoch is validated: whether `control` would say cancel or checkpoint. */
  readonly isEnding?: () => boolean
  /** Asked after every batch and every epoch: whether to keep the state now. */
  readonly isCheckpointDue?: (place: { readonly epochEnded: boolean }) => boolean
  /** Reading the state copies all tensors. */
  readonly onCheckpoint?: (capture: () => FitState) => Promise<void>
}

export type FitResult =
  | {
      readonly kind: 'finished'
      /** Of the best epoch; averaged ones where the recipe says so. */
      readonly weights: Weights
      readonly best: BestEpoch
      readonly epochs: number
      readonly stopReason: 'completed' | 'early-stopping' | 'stopped'
    }
  | { readonly kind: 'checkpointed'; readonly state: FitState }
  | { readonly kind: 'cancelled' }

/**
 * @throws ServiceError TRAINING_DIVERGED when the loss is no longer a number; RangeError when images,
 *   weights, teacher or state do not fit the network.
 */
export const fit = async (request: FitRequest): Promise<FitResult> => {
  const run = new FitRun(request)
  try {
    return await epochs(request, run)
  } finally {
    run.dispose()
  }
}

const epochs = async (request: FitRequest, run: FitRun): Promise<FitResult> => {
  const { options } = request
  const patience = options.earlyStopping?.patience
  while (run.progress.epoch < options.epochs) {
    if (isExhausted(run.progress.best, run.progress.epoch, patience)) {
      return finished(run, 'early-stopping')
    }
    const order = await steps(request, run)
    if (order === 'cancel' || order === 'checkpoint') {
      return ended(run, order)
    }
    if (order === 'stop' && run.progress.best !== null) {
      return finished(run, 'stopped')
    }
    if (!(await endEpoch(request, run))) {
      return ended(run, await request.control?.(run.progress.updates))
    }
    if (order === 'stop') {
      return finished(run, 'stopped')
    }
    await keepIfDue(request, run, { epochEnded: true })
  }
  return finished(run, 'completed')
}

/** The rest of the current epoch; ends early with the order that interrupted it. */
const steps = async (request: FitRequest, run: FitRun): Promise<Control> => {
  while (run.progress.step < run.stepsPerEpoch) {
    await nextTurn()
    const { updates } = run.progress
    const order = (await request.control?.(updates)) ?? 'continue'
    // Who stops before the first step still gets a model.
    const isUntrained = updates === 0
    if (order !== 'continue' && !(order === 'stop' && isUntrained)) {
      return order
    }
    assertSane(run.step().loss, run)
    await keepIfDue(request, run, { epochEnded: false })
  }
  return 'continue'
}

/** False when validation was broken off; the epoch is then still open. */
const endEpoch = async ({ stage, onEpoch }: FitRequest, run: FitRun): Promise<boolean> => {
  const { training, learningRate, imagesPerSecond } = run
  const validation = await run.validate()
  if (validation === null) {
    return false
  }
  assertSane(validation.loss, run)
  const best = isBetter(validation, run.progress.best)
  run.closeEpoch(validation, best)
  const metric: Metric = {
    stage,
    epoch: run.progress.epoch,
    at: new Date().toISOString(),
    ...training,
    validation,
    learningRate,
    imagesPerSecond
  }
  await onEpoch?.({ metric, best })
  return true
}

const keepIfDue = async (
  { isCheckpointDue, onCheckpoint }: FitRequest,
  run: FitRun,
  place: { readonly epochEnded: boolean }
): Promise<void> => {
  if (isCheckpointDue?.(place)) {
    await onCheckpoint?.(() => run.capture())
  }
}

const ended = (run: FitRun, order: Control | undefined): FitResult =>
  order === 'checkpoint' ? { kind: 'checkpointed', state: run.capture() } : { kind: 'cancelled' }

const finished = (run: FitRun, stopReason: 'completed' | 'early-stopping' | 'stopped') => {
  const { best, epoch } = run.progress
  const weights = run.best
  if (best === null || weights === null) {
    throw new Error('A run has ended without an epoch')
  }
  return { kind: 'finished', weights, best, epochs: epoch, stopReason } as const
}

/** A range check, since comparisons with NaN are false and some engines cannot tell it otherwise. */
const LARGEST_LOSS = 1e6

const assertSane = (loss: number, { progress, learningRate }: FitRun): void => {
  if (!(Math.abs(loss) < LARGEST_LOSS)) {
    const place = `epoch ${progress.epoch + 1}, step ${progress.step}`
    const advice = `a learning rate below ${learningRate} may help`
    const detail = `Cannot go on training: the loss is ${loss} at ${place}; ${advice}`
    throw new ServiceError('TRAINING_DIVERGED', { detail })
  }
}
