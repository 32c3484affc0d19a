/**
 * What the api and an engine process say to each other.
 *
 * Orders go over the IPC channel of `fork`, questions and answers in frames of their own (`frames.ts`).
 * `engine.ts` and `engine-process.ts` are the only files that know either.
 */
import type { InputShape } from '../image/preprocess.ts'

export interface EngineModel {
  /** Names the loaded model; equal keys mean equal files and equal input. */
  readonly key: string
  /** What callers know it by. */
  readonly serves: { readonly model: string; readonly version: number; readonly variant: string }
  /** Of the ONNX file. */
  readonly path: string
  readonly input: InputShape
}

/** One image to be classified. */
export interface Question {
  readonly bytes: Uint8Array
  /** Encoded as JPEG, PNG, WebP or GIF; or the pixels that the model takes. @default 'encoded' */
  readonly form?: 'encoded' | 'pixels'
  /** How many classes are wanted, best first; null for the probabilities of all in their order. */
  readonly top: number | null
  /** Whether the SHA-256 of its bytes is wanted. @default false */
  readonly digest?: boolean
}

/**
 * Class indices with their probabilities, best first; or the probabilities of all; or why the image
 * cannot be classified.
 */
export type Verdict =
  | { readonly classes: readonly number[]; readonly scores: readonly number[] }
  | { readonly all: Float32Array }
  | {
      readonly code: string
      readonly detail: string
      /** The image had ended engines before, and has not reached one this time. */
      readonly isKnown?: true
    }

export interface ToEngine {
  readonly type: 'load'
  readonly model: EngineModel
  /** Images of its largest batch. */
  readonly maxBatch: number
}

/** Of the engine process: its end of the socket pair for questions and answers. */
export const framesFd = 4
/** Of the engine process: the memory that it shares with the api. */
export const sharedFd = 5

export type FromEngine =
  | { readonly type: 'started' }
  | { readonly type: 'loaded' }
  | { readonly type: 'load-failed'; readonly detail: string }
