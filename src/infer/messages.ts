/**
 * What the api and an engine process say to each other.
 *
 * Structured clone over the IPC channel of `fork`: images travel as bytes. `engine.ts` and
 * `engine-process.ts` are the only files that know the channel.
 */
import type { InputShape } from '../image/preprocess.ts'

export interface EngineModel {
  /** Names the loaded model; equal keys mean equal files and equal input. */
  readonly key: string
  /** Of the ONNX file. */
  readonly path: string
  readonly input: InputShape
}

/** One image to be classified. */
export interface Question {
  /** Encoded: JPEG, PNG, WebP or GIF. */
  readonly bytes: Uint8Array
  /** How many classes are wanted, best first. */
  readonly top: number
}

/** Class indices with their probabilities, best first; or why the image cannot be classified. */
export type Verdict =
  | { readonly classes: readonly number[]; readonly scores: readonly number[] }
  | { readonly code: string; readonly detail: string }

export type ToEngine =
  | { readonly type: 'load'; readonly model: EngineModel }
  | { readonly type: 'classify'; readonly id: number; readonly questions: readonly Question[] }

export type FromEngine =
  | { readonly type: 'started' }
  | { readonly type: 'loaded' }
  | { readonly type: 'load-failed'; readonly detail: string }
  | { readonly type: 'classified'; readonly id: number; readonly verdicts: readonly Verdict[] }
