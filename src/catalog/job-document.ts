/** A job row as the contract shows it. */
import type { EvaluationReport } from '../contract/evaluation.ts'
import type { Job, VersionEvaluationSpec } from '../contract/job.ts'
import { isLost } from './job-lease.ts'
import type { JobRow } from './jobs.ts'

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
    priority: row.priority,
    webhook: parsed(row.webhook),
    bitExact: row.bit_exact === null ? null : row.bit_exact === 1,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    stopReason: row.stop_reason,
    error: parsed(row.error),
    evaluation: row.kind === 'evaluate' ? evaluationOf(row) : null,
    result: parsed(row.result)
  }
}

function evaluationOf({ spec }: JobRow): Job['evaluation'] {
  const { version, split = 'test', variants }: VersionEvaluationSpec = JSON.parse(spec)
  return { version, split, variants: variants ?? null }
}

/** The document of a job by itself, with all that an evaluation has found. */
export function wholeDocument(row: JobRow, report: EvaluationReport | undefined): Job {
  const document = jobDocument(row)
  const { result } = document
  if (result === null || report === undefined || !('split' in result)) return document
  return { ...document, result: { ...result, report } }
}

/** Time that is left if the rest of the work goes as fast as the work so far. */
function etaSeconds(row: JobRow, now: Date): number | null {
  if (row.state !== 'running' || row.progress < leastProgress || isLost(row, now)) return null
  return Math.round((row.ran_ms * (1 - row.progress)) / row.progress / 1000)
}

const parsed = (text: string | null) => (text === null ? null : JSON.parse(text))
