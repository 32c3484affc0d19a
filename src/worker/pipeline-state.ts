/**
 * How far a job's pipeline has come: every piece that is finished, and the training under way.
 *
 * A checkpoint holds one of these (checkpoint-file.ts), so a piece that is here is not made again. The
 * pack is not: it is cached by content on every worker, and built anew where it is not.
 */
import type { Latency, VariantName } from '../contract/report.ts'
import type { Sketch } from '../contract/sketch.ts'
import type { Evaluation } from '../evaluate/evaluate-variant.ts'
import type { FitState } from '../train/state.ts'
import type { Model } from './job-context.ts'

/** A variant's ONNX file and what is known of it before it runs. */
export interface ExportedVariant {
  readonly variant: VariantName
  /** What it was made from; null for the baseline. */
  readonly from: VariantName | null
  readonly onnx: Uint8Array
  readonly parameters: number
  readonly macs: number
}

/** What a variant's file answers on the splits that judge it. */
export interface VariantEvaluation {
  readonly validation: Evaluation
  readonly test: Evaluation
  /** Of its answers on the validation split; null where an earlier release has evaluated it. */
  readonly reference: Sketch | null
}

export interface PipelineState {
  /** The trained network, once training has ended. */
  readonly baseline: Model | null
  /** The pruned network: before its fine-tuning has ended, with the weights it starts from. */
  readonly pruned: Model | null
  /** Training under way: of the baseline while that is null, else fine-tuning of `pruned`. */
  readonly fit: FitState | null
  /** Whether `pruned` is finished. */
  readonly fineTuned: boolean
  /** Why training ended before its time, or null. */
  readonly stopReason: 'stopped' | 'limit' | null
  /** All variants, once the last of them is exported; none before. */
  readonly exported: readonly ExportedVariant[]
  readonly evaluated: ReadonlyMap<VariantName, VariantEvaluation>
  /** As measured by the api's host. The recommendation follows from them, so they are measured once. */
  readonly latencies: Readonly<Record<string, Latency>> | null
}

/** A job whose training has ended. */
export type Trained = PipelineState & { readonly baseline: Model }

export const emptyState: PipelineState = {
  baseline: null,
  pruned: null,
  fit: null,
  fineTuned: false,
  stopReason: null,
  exported: [],
  evaluated: new Map(),
  latencies: null
}
