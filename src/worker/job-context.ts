/**
 * What every step of a job is handed: the assignment, the engine, and the ways out.
 */
import type { TrainAssignment } from '../contract/job.ts'
import type { TrainerPaths } from '../contract/trainer.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Decisions } from './decisions.ts'
import type { PipelineState } from './pipeline-state.ts'
import type { Progress } from './progress.ts'
import type { TrainerChannel } from './trainer-channel.ts'

export interface JobContext {
  readonly assignment: TrainAssignment
  readonly paths: TrainerPaths
  readonly engine: Engine
  readonly channel: TrainerChannel
  readonly checkpoints: Checkpoints<PipelineState>
  readonly decisions: Decisions
  readonly progress: Progress
}

/** A network with the weights that make it a model. */
export interface Model {
  readonly network: Network
  readonly weights: Weights
}
