/** Jobs as callers use them: create, find, list, cancel, stop, delete. */
import type { Insertable, Selectable, Updateable } from 'kysely'
import type { JobSpec, JobState, Metric } from '../contract/job.ts'
import type { ResolvedRecipe } from '../contract/recipe.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { newId } from './id.ts'
import { hasEnded, type JobMove, nextState } from './job-state.ts'
import type { JobTable } from './migration/0002-jobs.ts'
import type { Catalog } from './open.ts'

export type JobRow = Selectable<JobTable>

/** Silence after which the attempt of a running job counts as lost, in milliseconds. */
export const lostAfterMs = 30_000

/** What is known of a job once its dataset can be read. */
export interface JobPlanRow {
  readonly version: number
  readonly hash: string
  readonly recipe: ResolvedRecipe
  readonly reasons: Readonly<Record<string, string>>
}

export interface NewJob {
  readonly spec: JobSpec
  readonly dataset: { readonly id: string; readonly name: string }
  readonly seed: number
  /** Null while the dataset is being imported. */
  readonly plan: JobPlanRow | null
}

/** Stores a job; from now on it is not lost. It has dispatch 1, which the caller hands to the queue. */
export async function createJob(
  db: Catalog | CatalogTransaction,
  { spec, dataset, seed, plan }: NewJob,
  now = new Date()
): Promise<JobRow> {
  const row: Insertable<JobTable> = {
    id: newId('job', now.getTime()),
    kind: 'train',
    parent: null,
    state: 'queued',
    stage: null,
    progress: 0,
    attempt: 0,
    dispatch: 1,
    claimed_dispatch: 0,
    crashes: 0,
    order: 'continue',
    worker: null,
    heartbeat_at: null,
    ran_ms: 0,
    dataset_id: dataset.id,
    dataset_name: dataset.name,
    ...planned(plan),
    model: spec.model,
    alias: spec.alias ?? null,
    seed,
    spec: JSON.stringify(spec),
    limits: spec.limits === undefined ? null : JSON.stringify(spec.limits),
    stop_reason: null,
    error: null,
    result: null,
    created_at: now.toISOString(),
    started_at: null,
    finished_at: null
  }
  return db.insertInto('jobs').values(row).returningAll().executeTakeFirstOrThrow()
}

/** Gives a job that waited for its dataset the plan it lacked. No effect if it has ended meanwhile. */
export async function planWaitingJob(db: Catalog, id: string, plan: JobPlanRow): Promise<void> {
  await db
    .updateTable('jobs')
    .set(planned(plan))
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .where('dataset_version', 'is', null)
    .execute()
}

function planned(plan: JobPlanRow | null) {
  return {
    dataset_version: plan?.version ?? null,
    dataset_hash: plan?.hash ?? null,
    recipe: plan === null ? null : JSON.stringify(plan.recipe),
    reasons: JSON.stringify(plan?.reasons ?? {})
  }
}

/** @throws ServiceError JOB_NOT_FOUND */
export async function getJob(db: Catalog | CatalogTransaction, id: string): Promise<JobRow> {
  const row = await db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst()
  if (row !== undefined) return row
  throw new ServiceError('JOB_NOT_FOUND', {
    detail: `Cannot find the job: received ${JSON.stringify(id.slice(0, 100))}`
  })
}

export interface JobFilter {
  readonly state?: JobState | undefined
  readonly kind?: string | undefined
  readonly parent?: string | undefined
  readonly limit: number
  /** Id of the last job of the page before. */
  readonly cursor?: string | undefined
}

/** A page of jobs, newest first. Child jobs are listed only when their parent is asked for. */
export async function listJobs(
  db: Catalog,
  { state, kind, parent, limit, cursor }: JobFilter
): Promise<{ readonly rows: JobRow[]; readonly next: string | null }> {
  let query = db.selectFrom('jobs').selectAll().orderBy('id', 'desc')
  query =
    parent === undefined ? query.where('parent', 'is', null) : query.where('parent', '=', parent)
  if (state !== undefined) query = query.where('state', '=', state)
  if (kind !== undefined) query = query.where('kind', '=', kind as 'train')
  if (cursor !== undefined) query = query.where('id', '<', cursor)
  const found = await query.limit(limit + 1).execute()
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null }
}

/** Every epoch of every stage, in the order of training. */
export async function jobMetrics(db: Catalog, id: string): Promise<Metric[]> {
  const rows = await db
    .selectFrom('job_metrics')
    .select('metric')
    .where('job_id', '=', id)
    .orderBy('seq')
    .execute()
  return rows.map(({ metric }) => JSON.parse(metric) as Metric)
}

/** A page of log lines after row `after`. */
export async function jobLogs(db: Catalog, id: string, after: number, limit: number) {
  return db
    .selectFrom('job_logs')
    .selectAll()
    .where('job_id', '=', id)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(limit)
    .execute()
}

/**
 * Gives a job up: at once when nobody holds it, else with the worker's next heartbeat. Idempotent.
 *
 * @throws ServiceError JOB_ENDED when it has ended otherwise
 */
export function cancelJob(db: Catalog, id: string, now = new Date()): Promise<JobRow> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (job.state === 'cancelled') return job
    if (job.state === 'running' && !isLost(job, now)) {
      return updateJob(trx, id, { order: 'cancel' })
    }
    return moveJob(trx, job, 'cancel', { order: 'cancel' }, now)
  })
}

/**
 * Has a job end its training early and publish the best so far. Idempotent.
 *
 * @throws ServiceError JOB_ENDED when it has ended otherwise
 */
export function stopJob(db: Catalog, id: string): Promise<JobRow> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (job.state === 'completed' && job.stop_reason === 'stopped') return job
    if (hasEnded(job.state)) {
      throw new ServiceError('JOB_ENDED', { detail: `Cannot stop the job: it is ${job.state}` })
    }
    if (job.order === 'cancel') return job
    return updateJob(trx, id, { order: 'stop' })
  })
}

/** @throws ServiceError JOB_NOT_FOUND, JOB_NOT_ENDED */
export function deleteJob(db: Catalog, id: string): Promise<void> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (!hasEnded(job.state)) {
      throw new ServiceError('JOB_NOT_ENDED', {
        detail: `Cannot delete the job: it is ${job.state}; cancel it first`
      })
    }
    await trx.deleteFrom('jobs').where('id', '=', id).execute()
  })
}

/** Whether the attempt of a running job has been silent for too long. */
export function isLost(job: JobRow, now: Date): boolean {
  return job.heartbeat_at === null || now.getTime() - Date.parse(job.heartbeat_at) > lostAfterMs
}

/** Moves a job to its next state, with what else changes. The only writer of states. */
export function moveJob(
  trx: CatalogTransaction,
  job: JobRow,
  move: JobMove,
  changes: Updateable<JobTable>,
  now: Date
): Promise<JobRow> {
  const state = nextState(job.state, move)
  const held = state === 'running' ? {} : { worker: null, heartbeat_at: null }
  const ended = hasEnded(state) ? { finished_at: now.toISOString() } : {}
  return updateJob(trx, job.id, { ...held, ...ended, ...changes, state })
}

export function updateJob(
  trx: CatalogTransaction,
  id: string,
  changes: Updateable<JobTable>
): Promise<JobRow> {
  return trx
    .updateTable('jobs')
    .set(changes)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
}
