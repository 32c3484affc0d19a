/** Training options of tests: plain SGD on small batches, with whatever differs. */
import type { AdamWOptions, SgdOptions, TrainOptions } from '../../src/contract/recipe.ts'

export const sgdOptions = (changes: Partial<SgdOptions> = {}): SgdOptions => ({
  name: 'sgd',
  momentum: 0.9,
  nesterov: true,
  weightDecay: 5e-4,
  ...changes
})

export const adamwOptions = (changes: Partial<AdamWOptions> = {}): AdamWOptions => ({
  name: 'adamw',
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-7,
  weightDecay: 0.05,
  ...changes
})

export const trainOptions = (changes: Partial<TrainOptions> = {}): TrainOptions => ({
  epochs: 3,
  batchSize: 8,
  optimizer: sgdOptions(),
  learningRate: 0.02,
  warmupEpochs: 0,
  schedule: 'cosine',
  labelSmoothing: 0,
  ema: null,
  earlyStopping: null,
  ...changes
})
