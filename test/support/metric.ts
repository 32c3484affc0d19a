import type { Metric } from '../../src/contract/job.ts'

/** What an epoch reports. */
export const metric = (epoch: number, changes: Partial<Metric> = {}): Metric => ({
  stage: 'train',
  epoch,
  at: '2026-01-01T00:00:00Z',
  loss: 1 / epoch,
  accuracy: 0.5,
  validation: { loss: 1, accuracy: 0.5 },
  learningRate: 0.1,
  imagesPerSecond: 100,
  ...changes
})
