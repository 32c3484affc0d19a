/**
 * What every step of a job is handed: the assignment, the engine, and the ways out.
 */
import type { Assignment } from '../contract/job.ts'
import type { TrainerPaths } from '../contract/trainer.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Progress } from './progress.ts'
import type { Control, TrainerChannel } from './trainer-channel.ts'

export interface JobContext {
  readonly assignment: Assignment
  readonly paths: TrainerPaths
  readonly engine: Engine
  readonly channel: TrainerChannel
  readonly checkpoints: Checkpoints
  readonly progress: Progress
}

/** A network with the weights that make it a model. */
export interface Model {
  readonly network: Network
  readonly weights: Weights
}

/** Ends the pipeline without a result: the job was cancelled, or goes on elsewhere from a checkpoint. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly reason: 'cancelled' | 'checkpointed'

  constructor(reason: 'cancelled' | 'checkpointed') {
    super(`The job was ${reason}`)
    this.reason = reason
  }
}

/** Whether an order leaves no time to finish anything. */
export const isEnding = (order: Control): order is 'cancel' | 'checkpoint' =>
  order === 'cancel' || order === 'checkpoint'

/** Between pieces of work that cannot be interrupted themselves. @throws Interrupted when told to end. */
export async function yieldToOrders({ channel }: Pick<JobContext, 'channel'>): Promise<void> {
  await new Promise(setImmediate)
  const order = channel.control()
  if (order === 'cancel') throw new Interrupted('cancelled')
  if (order === 'checkpoint') throw new Interrupted('checkpointed')
}
