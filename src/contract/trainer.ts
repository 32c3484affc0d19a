/**
 * Messages between the supervisor (worker process) and its trainer (one child per job), over IPC.
 *
 * The trainer has a scratch folder and this channel, nothing else; it exits when the channel closes.
 */
import type { EvaluationReport } from './evaluation.ts'
import type { EngineInfo } from './internal.ts'
import type { Assignment, Decision, Environment, Metric, Stage } from './job.ts'
import type { Latency, PublishedReport, VariantName } from './report.ts'

export interface TrainerPaths {
  /** Holds `checkpoint-*.safetensors` (downloaded ones too), `artifacts/`, and `models/` to evaluate. Private to the attempt. */
  readonly scratch: string
  /** `manifest.jsonl` and `images.tar` of the dataset version; shared, read-only. */
  readonly dataset: string
  /** Cache of built packs, by content. Shared between jobs. */
  readonly packs: string
}

export type ToTrainer =
  /** Load the engine, answer `engine`, exit. A worker's first question at start. */
  | { readonly type: 'probe' }
  | { readonly type: 'start'; readonly assignment: Assignment; readonly paths: TrainerPaths }
  /** cancel: end at once. stop: end the current stage early and go on. checkpoint: write one and exit 0. */
  | { readonly type: 'order'; readonly order: 'cancel' | 'stop' | 'checkpoint' }
  /** The api has stored the decision of this stage: the trainer may act on it. */
  | { readonly type: 'decision-stored'; readonly stage: Stage }
  /** The api has the checkpoint; its transfer took so many seconds, which spaces the next ones. */
  | { readonly type: 'checkpoint-kept'; readonly name: string; readonly seconds: number }
  | { readonly type: 'latency'; readonly latencies: Record<string, Latency> }
  | { readonly type: 'latency-failed'; readonly detail: string }

export type FromTrainer =
  /** The engine is loaded: the answer to `probe`, and for the log of a started job. */
  | { readonly type: 'engine'; readonly engine: EngineInfo }
  /** Where the job computes: the first message of a started job. */
  | { readonly type: 'environment'; readonly environment: Environment }
  /** Waits for `decision-stored` before it acts. */
  | { readonly type: 'decision'; readonly decision: Decision }
  | { readonly type: 'stage'; readonly stage: Stage; readonly progress: number }
  | { readonly type: 'metric'; readonly metric: Metric }
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string }
  /** Whatever was told before it must be with the api before the file is. */
  | {
      readonly type: 'checkpoint'
      readonly name: string
      readonly sha256: string
      readonly bytes: number
      /** Time that collecting and writing it took. */
      readonly seconds: number
      /** Those that the attempt was handed and could not use, by name. */
      readonly damaged: readonly string[]
    }
  | { readonly type: 'artifact'; readonly file: string; readonly sha256: string }
  | {
      readonly type: 'measure'
      readonly variants: readonly { readonly variant: VariantName; readonly file: string }[]
    }
  | {
      readonly type: 'done'
      readonly report: PublishedReport
      readonly stopReason: string | null
    }
  | {
      readonly type: 'evaluated'
      readonly report: EvaluationReport
      readonly stopReason: string | null
    }
  | { readonly type: 'failed'; readonly code: string; readonly detail: string }
  /** The worker's copy of the dataset is not whole. */
  | { readonly type: 'damaged'; readonly detail: string }
  | { readonly type: 'ended'; readonly reason: 'cancelled' | 'checkpointed' }
