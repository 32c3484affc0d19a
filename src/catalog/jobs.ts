/** Jobs as callers use them: create, find, list, cancel, stop, delete. */
import type { Insertable, Selectable, Updateable } from 'kysely'
import type { JobKind, JobSpec, JobState, Metric, VersionEvaluationSpec } from '../contract/job.ts'
import type { ResolvedRecipe } from '../contract/recipe.ts'
import type { TraceContext } from '../contract/trace.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { announceEnd } from './deliveries.ts'
import { newId } from './id.ts'
import { isLost, ranUntil } from './job-lease.ts'
import { hasEnded, type JobMove, nextState } from './job-state.ts'
import { nextTurn } from './job-turn.ts'
import type { JobTable } from './migration/0002-jobs.ts'
import type { Catalog } from './open.ts'

export type JobRow = Selectable<JobTable>

/** What is known of a job once its dataset can be read. */
export interface JobPlanRow {
  readonly version: number
  readonly hash: string
  /** Null of an evaluation. */
  readonly recipe: ResolvedRecipe | null
  readonly reasons: Readonly<Record<string, string>>
}

export interface NewJob {
  /** @default 'train' */
  readonly kind?: JobKind
  readonly spec: JobSpec | VersionEvaluationSpec
  readonly dataset: { readonly id: string; readonly name: string }
  readonly seed: number
  /** Null while the dataset is being imported. */
  readonly plan: JobPlanRow | null
  /** Key that posts it. @default null: there are no keys */
  readonly owner?: string | null
  /** Of the request that posts it. @default none */
  readonly trace?: TraceContext | undefined
}

/** Stores a job; from now on it is not lost. It has dispatch 1, which the caller hands to the queue. */
export async function createJob(
  db: Catalog | CatalogTransaction,
  { kind = 'train', spec, dataset, seed, plan, owner = null, trace }: NewJob,
  now = new Date()
): Promise<JobRow> {
  const { priority = 'normal' } = spec
  const row: Insertable<JobTable> = {
    id: newId('job', now.getTime()),
    kind,
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
    alias: ('alias' in spec ? spec.alias : null) ?? null,
    seed,
    spec: JSON.stringify(spec),
    limits: spec.limits === undefined ? null : JSON.stringify(spec.limits),
    webhook: spec.webhook === undefined ? null : JSON.stringify(spec.webhook),
    owner,
    trace: trace === undefined ? null : JSON.stringify(trace),
    priority,
    // A job that waits for its dataset has no turn yet: by then, others would have had to wait for it.
    turn: plan === null ? 0 : await nextTurn(db, { priority, owner }),
    stop_reason: null,
    error: null,
    result: null,
    created_at: now.toISOString(),
    started_at: null,
    finished_at: null
  }
  return db.insertInto('jobs').values(row).returningAll().executeTakeFirstOrThrow()
}

/** Gives a job that waited for its dataset the plan it lacked, and a turn. No effect if it has ended meanwhile. */
export function planWaitingJob(db: Catalog, id: string, plan: JobPlanRow): Promise<void> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (job.state !== 'queued' || job.dataset_version !== null) return
    await updateJob(trx, id, { ...planned(plan), turn: await nextTurn(trx, job) })
  })
}

function planned(plan: JobPlanRow | null) {
  return {
    dataset_version: plan?.version ?? null,
    dataset_hash: plan?.hash ?? null,
    recipe: plan === null || plan.recipe === null ? null : JSON.stringify(plan.recipe),
    reasons: JSON.stringify(plan?.reasons ?? {})
  }
}

/** Where the trace of a job goes on; undefined where nothing was traced. */
export function traceOf({ trace }: Pick<JobRow, 'trace'>): TraceContext | undefined {
  return trace === null ? undefined : JSON.parse(trace)
}

/** As `traceOf`, of a job that may have been deleted. */
export async function jobTrace(db: Catalog, id: string): Promise<TraceContext | undefined> {
  const row = await db.selectFrom('jobs').select('trace').where('id', '=', id).executeTakeFirst()
  return row && traceOf(row)
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
  if (kind !== undefined) query = query.where('kind', '=', kind as JobKind)
  if (cursor !== undefined) query = query.where('id', '<', cursor)
  const found = await query.limit(limit + 1).execute()
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null }
}

/** Ids of the running jobs, by the worker that holds them. */
export async function jobsByWorker(db: Catalog): Promise<Map<string, string[]>> {
  const rows = await db
    .selectFrom('jobs')
    .select(['id', 'worker'])
    .where('state', '=', 'running')
    .orderBy('id')
    .execute()
  const jobs = new Map<string, string[]>()
  for (const { id, worker } of rows) jobs.set(worker ?? '', [...(jobs.get(worker ?? '') ?? []), id])
  return jobs
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
    return moveJob(trx, job, 'cancel', { order: 'cancel', stop_reason: 'cancelled' }, now)
  })
}

/**
 * Has a job end its training early and publish the best so far. Idempotent, also for a job that was asked
 * to and completed before it came to that: who repeats the request is answered as the first time.
 *
 * @throws ServiceError JOB_ENDED when it has ended otherwise
 */
export function stopJob(db: Catalog, id: string): Promise<JobRow> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (job.state === 'completed' && job.order === 'stop') return job
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

/**
 * Moves a job to its next state, with what else changes. The only writer of states, and so the place
 * where a webhook's message is stored: with the end that it tells of, or not at all. Running time is
 * counted up to now, or a job that ends between two heartbeats would have run for nothing.
 */
export async function moveJob(
  trx: CatalogTransaction,
  job: JobRow,
  move: JobMove,
  changes: Updateable<JobTable>,
  now: Date
): Promise<JobRow> {
  const state = nextState(job.state, move)
  const ran = { ran_ms: ranUntil(job, now) }
  const held = state === 'running' ? {} : { worker: null, heartbeat_at: null }
  const ended = hasEnded(state) ? { finished_at: now.toISOString() } : {}
  const moved = await updateJob(trx, job.id, { ...ran, ...held, ...ended, ...changes, state })
  if (hasEnded(state)) await announceEnd(trx, moved, now)
  return moved
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
