/**
 * One request before a model: how it asks, what it is answered, and its images while they wait.
 *
 * Each image waits for itself: the images of a request may be answered by different engines.
 */
import type { Seen } from '../contract/sketch.ts'
import type { TraceContext } from '../contract/trace.ts'
import { type AskedRun, type BatchRun, distinctRuns } from './batch-run.ts'
import type { Question, Verdict } from './messages.ts'

/** How a request is to be treated. */
export interface AskOptions {
  readonly signal: AbortSignal
  /** 1 goes before 2 and that before 3. @default 2 */
  readonly priority?: Priority
  /** Who asks: callers take turns before a model. @default all who do not say are one */
  readonly caller?: string | undefined
  /** Milliseconds; the pool's own deadline holds as well. @default Infinity */
  readonly deadlineMs?: number
  /** Of whoever asks: then the answer tells of the runs. @default none */
  readonly trace?: TraceContext | undefined
}

export type Priority = 1 | 2 | 3

export interface Answer {
  /** One for each image, in order. */
  readonly verdicts: readonly Verdict[]
  /** One for each image, in order; null where it was refused. */
  readonly seen: readonly (Seen | null)[]
  /** The largest batch that one of the images was part of. */
  readonly batch: number
  /** How long the image that waited for longest had waited for an engine. */
  readonly queueMs: number
  /** Empty unless a trace was given. */
  readonly runs: readonly AskedRun[]
}

/** An image that waits. */
export interface Entry {
  readonly question: Question
  readonly priority: Priority
  readonly caller: string
  readonly trace: TraceContext | undefined
  readonly since: number
  readonly resolve: (served: Served) => void
  readonly reject: (error: Error) => void
  /** It was in an engine that ended, and is asked once more, alone. */
  isRetry: boolean
}

/** What came of an image. */
export interface Served {
  readonly verdict: Verdict
  readonly seen: Seen | null
  readonly batch: number
  readonly queueMs: number
  readonly since: number
  readonly run?: BatchRun
}

/** Has an image wait from now on; `served` settles with what comes of it. */
export function entryFor(
  question: Question,
  options: Pick<Entry, 'priority' | 'caller' | 'trace'>
): { readonly entry: Entry; readonly served: Promise<Served> } {
  const { promise, resolve, reject } = Promise.withResolvers<Served>()
  promise.catch(() => {}) // the first failure of a request answers it; the others have no listener
  const since = performance.now()
  const entry = { question, ...options, since, resolve, reject, isRetry: false }
  return { entry, served: promise }
}

/** The answer to a request, from what came of each of its images. */
export function answerOf(served: readonly Served[], { trace }: Pick<AskOptions, 'trace'>): Answer {
  return {
    verdicts: served.map(({ verdict }) => verdict),
    seen: served.map(({ seen }) => seen),
    batch: Math.max(...served.map(({ batch }) => batch)),
    queueMs: Math.max(...served.map(({ queueMs }) => queueMs)),
    runs: trace === undefined ? [] : distinctRuns(served)
  }
}

/** Whoever asks for one of `entries` and wants to be told of the run. */
export function distinctAskers(entries: readonly Entry[]): TraceContext[] {
  // Most have none. Those of one request are one object.
  return [...new Set(entries.map(({ trace }) => trace))].filter((trace) => trace !== undefined)
}
