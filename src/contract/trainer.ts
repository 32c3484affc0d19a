/**
 * Messages between the supervisor (worker process) and its trainer (one child per job), over IPC.
 *
 * The trainer has a scratch folder and this channel, nothing else; it exits when the channel closes.
 */
import type { EngineInfo } from './internal.ts'
import type { Assignment, Metric, Stage } from './job.ts'
import type { Latency, PublishedReport, VariantName } from './report.ts'

export interface TrainerPaths {
  /** Holds `checkpoint-*.safetensors` (downloaded ones too) and `artifacts/`. Private to the attempt. */
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
  | { readonly type: 'latency'; readonly latencies: Record<string, Latency> }
  | { readonly type: 'latency-failed'; readonly detail: string }

export type FromTrainer =
  /** The engine is loaded. The answer to `probe`, and the first message of a started job. */
  | { readonly type: 'engine'; readonly engine: EngineInfo }
  | { readonly type: 'stage'; readonly stage: Stage; readonly progress: number }
  | { readonly type: 'metric'; readonly metric: Metric }
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string }
  | {
      readonly type: 'checkpoint'
      readonly name: string
      readonly sha256: string
      readonly bytes: number
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
  | { readonly type: 'failed'; readonly code: string; readonly detail: string }
  | { readonly type: 'ended'; readonly reason: 'cancelled' | 'checkpointed' }
