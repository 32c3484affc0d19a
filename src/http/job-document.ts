/** A job row as the contract shows it. */
import { isLost, type JobRow } from '../catalog/jobs.ts'
import type { Job } from '../contract/job.ts'

/** Below this share of the work, the time that is left would be a guess. */
const leastProgress = 0.02

export function jobDocument(row: JobRow, now = new Date()): Job {
  return {
    id: row.id,
    kind: row.kind,
    parent: row.parent,
    state: row.state,
    stage: row.stage,
    progress: row.progress,
    etaSeconds: etaSeconds(row, now),
    attempt: row.attempt,
    dataset: { id: row.dataset_id, name: row.dataset_name, version: row.dataset_version },
    model: row.model,
    alias: row.alias,
    recipe: parsed(row.recipe),
    reasons: JSON.parse(row.reasons),
    goal: null,
    limits: parsed(row.limits),
    seed: row.seed,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    stopReason: row.stop_reason,
    error: parsed(row.error),
    result: parsed(row.result)
  }
}

/** Time that is left if the rest of the work goes as fast as the work so far. */
function etaSeconds(row: JobRow, now: Date): number | null {
  if (row.state !== 'running' || row.progress < leastProgress || isLost(row, now)) return null
  return Math.round((row.ran_ms * (1 - row.progress)) / row.progress / 1000)
}

const parsed = (text: string | null) => (text === null ? null : JSON.parse(text))
