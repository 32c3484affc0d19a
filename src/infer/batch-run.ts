/** One run of a model, as whoever asked for a part of it is told. Times are on the clock of performance.now(). */
import type { TraceContext } from '../contract/trace.ts'
import type { BatchTimes } from './statistics.ts'

export interface BatchRun {
  readonly since: number
  readonly until: number
  /** Images. */
  readonly size: number
  readonly times: BatchTimes
  /** Those that asked, each once. */
  readonly askers: readonly TraceContext[]
}

/** What a request had of a run. */
export interface AskedRun {
  readonly run: BatchRun
  /** When the first of its images in it began to wait. */
  readonly waitedSince: number
}

/** Each run once, in the order in which they began. */
export function distinctRuns(
  answered: readonly { readonly since: number; readonly run?: BatchRun }[]
): AskedRun[] {
  const runs = new Map<BatchRun, number>()
  for (const { since, run } of answered) {
    if (run !== undefined) runs.set(run, Math.min(since, runs.get(run) ?? since))
  }
  return [...runs]
    .map(([run, waitedSince]) => ({ run, waitedSince }))
    .sort((a, b) => a.run.since - b.run.since)
}
