/**
 * Evaluations: jobs that judge a published version on a dataset.
 *
 * A version cannot be deleted while one of them has not ended (`assertNotJudged`); what they found goes
 * with it, and so does what a deleted job found.
 */
import type { EvaluationItem, EvaluationReport, EvaluationResult } from '../contract/evaluation.ts'
import type { VersionEvaluationSpec } from '../contract/job.ts'
import type { TraceContext } from '../contract/trace.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { createJob, type JobRow, type NewJob } from './jobs.ts'
import type { JudgedVersion } from './judged-version.ts'
import type { Catalog } from './open.ts'

export interface NewEvaluation {
  readonly planned: NewJob
  readonly judged: Pick<JudgedVersion, 'modelId' | 'version'>
  readonly owner: string | null
  /** Of the request that asks for it; undefined where nothing is traced. */
  readonly trace: TraceContext | undefined
}

/** Stores an evaluation's job; from then on its version cannot be deleted. */
export async function createEvaluation(
  trx: CatalogTransaction,
  { planned, judged, owner, trace }: NewEvaluation
): Promise<JobRow> {
  const job = await createJob(trx, { ...planned, owner, trace })
  const { modelId: model_id, version } = judged
  const row = { job_id: job.id, model_id, version, report: null }
  await trx.insertInto('evaluations').values(row).execute()
  return job
}

/** Keeps what an evaluation found. Returns what its job says of it. */
export async function keepEvaluation(
  trx: CatalogTransaction,
  job: JobRow,
  report: EvaluationReport
): Promise<EvaluationResult> {
  const kept = { report: JSON.stringify(report) }
  await trx.updateTable('evaluations').set(kept).where('job_id', '=', job.id).execute()
  const { version, split = 'test' }: VersionEvaluationSpec = JSON.parse(job.spec)
  const accuracy = Object.entries(report.variants).map(([name, found]) => [name, found.accuracy])
  return {
    model: job.model,
    version,
    split,
    images: report.images,
    accuracy: Object.fromEntries(accuracy)
  }
}

/** What a completed evaluation found; undefined once its version is gone, and of other jobs. */
export async function evaluationReport(
  db: Catalog,
  job: string
): Promise<EvaluationReport | undefined> {
  const row = await db
    .selectFrom('evaluations')
    .select('report')
    .where('job_id', '=', job)
    .executeTakeFirst()
  return row?.report ? JSON.parse(row.report) : undefined
}

export interface EvaluationFilter extends Pick<JudgedVersion, 'modelId' | 'version'> {
  readonly limit: number
  /** Id of the last job of the page before. */
  readonly cursor?: string | undefined
}

/** A page of a version's evaluations, newest first. */
export async function listEvaluations(
  db: Catalog,
  { modelId, version, limit, cursor }: EvaluationFilter
): Promise<{ readonly items: EvaluationItem[]; readonly next: string | null }> {
  let query = db
    .selectFrom('evaluations')
    .innerJoin('jobs', 'id', 'job_id')
    .selectAll('jobs')
    .where('model_id', '=', modelId)
    .where('version', '=', version)
  if (cursor !== undefined) query = query.where('job_id', '<', cursor)
  const found = await query
    .orderBy('job_id', 'desc')
    .limit(limit + 1)
    .execute()
  const items = found.slice(0, limit).map(asItem)
  return { items, next: found.length > limit ? (items.at(-1)?.job ?? null) : null }
}

function asItem(job: JobRow): EvaluationItem {
  const { split = 'test' }: VersionEvaluationSpec = JSON.parse(job.spec)
  const result: EvaluationResult | null = job.result === null ? null : JSON.parse(job.result)
  return {
    job: job.id,
    state: job.state,
    dataset: { id: job.dataset_id, name: job.dataset_name, version: job.dataset_version },
    split,
    accuracy: result?.accuracy ?? null,
    createdAt: job.created_at
  }
}

/**
 * Refuses to take away what an evaluation still reads.
 *
 * @param version of the model; undefined for any of them
 * @throws ServiceError VERSION_IN_USE
 */
export async function assertNotJudged(
  trx: Catalog,
  { modelId, version }: { readonly modelId: number; readonly version?: number }
): Promise<void> {
  let query = trx
    .selectFrom('evaluations')
    .innerJoin('jobs', 'id', 'job_id')
    .select(['job_id', 'version'])
    .where('model_id', '=', modelId)
    .where('state', 'in', ['queued', 'running'])
  if (version !== undefined) query = query.where('version', '=', version)
  const rows = await query.orderBy('job_id').execute()
  if (rows.length === 0) return
  const users = rows.map(({ job_id, version }) => `${job_id} (version ${version})`)
  throw new ServiceError('VERSION_IN_USE', {
    detail: `Cannot delete it: evaluations that have not ended read it, received ${users.join(', ')}; cancel them first`
  })
}
