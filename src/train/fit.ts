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
  /** The run at this point; reading it copies all tensors, so ask only when it is wanted. */
  state(): FitState
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
  /** Asked between batches. stop: end with the best so far. checkpoint: end with the state. */
  readonly control?: () => Control
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
    if (order === 'cancel') {
      return { kind: 'cancelled' }
    }
    if (order === 'checkpoint') {
      return { kind: 'checkpointed', state: run.capture() }
    }
    if (order === 'stop' && run.progress.best !== null) {
      return finished(run, 'stopped')
    }
    await endEpoch(request, run)
    if (order === 'stop') {
      return finished(run, 'stopped')
    }
  }
  return finished(run, 'completed')
}

/** The rest of the current epoch; ends early with the order that interrupted it. */
const steps = async ({ control }: FitRequest, run: FitRun): Promise<Control> => {
  while (run.progress.step < run.stepsPerEpoch) {
    await nextTurn()
    const order = control?.() ?? 'continue'
    // Who stops before the first step still gets a model.
    const isUntrained = run.progress.updates === 0
    if (order !== 'continue' && !(order === 'stop' && isUntrained)) {
      return order
    }
    assertSane(run.step().loss, run)
  }
  return 'continue'
}

const endEpoch = async ({ stage, onEpoch }: FitRequest, run: FitRun): Promise<void> => {
  const { training, learningRate, imagesPerSecond } = run
  const validation = await run.validate()
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
  await onEpoch?.({ metric, best, state: () => run.capture() })
}

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
