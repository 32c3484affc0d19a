/**
 * Everything that a training run is, between two steps: what a checkpoint holds.
 *
 * Plain data, so that whoever writes it can use one safetensors file: tensors by name, and JSON. A run
 * that goes on from a state ends with the weights of the undisturbed run, bit for bit, on the same
 * engine, library and thread count. What only depends on (seed, epoch, step) is not here: it is drawn again.
 */
import type { Weights } from '../network/graph.ts'
import type { BestEpoch } from './early-stopping.ts'
import { withoutPrefix } from './parameters.ts'

export interface FitProgress {
  /** Epochs that have ended. */
  readonly epoch: number
  /** Steps done in the epoch after them. */
  readonly step: number
  /** Optimizer updates in all. */
  readonly updates: number
  /** Sums over the images of the unfinished epoch. */
  readonly lossSum: number
  readonly correct: number
  readonly images: number
  readonly best: BestEpoch | null
}

export interface FitState {
  readonly format: 'whittle-fit-1'
  readonly progress: FitProgress
  /** Variables of the step (`weights/`, `slots/`, `ema/`) and the best epoch's weights (`best/`). */
  readonly tensors: ReadonlyMap<string, Float32Array>
}

export const startOfFit: FitProgress = {
  epoch: 0,
  step: 0,
  updates: 0,
  lossSum: 0,
  correct: 0,
  images: 0,
  best: null
}

/** Weights of the best epoch so far, or null before the first epoch has ended. */
export const bestWeights = ({ progress, tensors }: FitState): Weights | null =>
  progress.best === null ? null : withoutPrefix(tensors, 'best/')
