/**
 * Jobs as workers use them: claim an attempt, keep it alive, report, end it.
 *
 * The attempt number fences: once a newer attempt has been claimed, or the job has ended, everything
 * an older one says is refused (ATTEMPT_STALE), so that a worker that was cut off cannot overwrite
 * its successor.
 */
import type { Claim, JobEvent, Orders } from '../contract/internal.ts'
import type { Stage } from '../contract/job.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { hasEnded } from './job-state.ts'
import { getJob, isLost, type JobRow, lostAfterMs, moveJob, updateJob } from './jobs.ts'
import type { Catalog } from './open.ts'

/**
 * Hands a job to a worker as its next attempt.
 *
 * @throws ServiceError JOB_ENDED, or ATTEMPT_STALE when the dispatch has been superseded or another
 *   worker holds the job
 */
export function claimJob(
  db: Catalog,
  id: string,
  { dispatch, worker }: Claim,
  now = new Date()
): Promise<JobRow> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (hasEnded(job.state)) {
      throw new ServiceError('JOB_ENDED', { detail: `Cannot claim the job: it is ${job.state}` })
    }
    if (dispatch !== job.dispatch || job.recipe === null) {
      throw stale(`Cannot claim dispatch ${dispatch}: the current one is ${job.dispatch}`)
    }
    // The same worker asks again when it has not seen our answer.
    if (job.state === 'running' && job.worker !== worker && !isLost(job, now)) {
      throw stale(`Cannot claim the job: ${job.worker} holds it`)
    }
    const changes = {
      attempt: job.attempt + 1,
      claimed_dispatch: dispatch,
      worker,
      heartbeat_at: now.toISOString(),
      started_at: job.started_at ?? now.toISOString(),
      ran_ms: ranUntil(job, now)
    }
    return moveJob(trx, job, 'claim', changes, now)
  })
}

/** Seconds of running time that a job has left, or null when it has no limit. */
export function secondsLeft(job: JobRow): number | null {
  if (job.limits === null) return null
  const { seconds } = JSON.parse(job.limits) as { seconds?: number }
  return seconds === undefined ? null : Math.max(0, seconds - job.ran_ms / 1000)
}

/** Notes a sign of life, and says what the worker shall do. */
export function beat(
  db: Catalog,
  { id, attempt }: AttemptRef,
  progress: number,
  now = new Date()
): Promise<Orders['order']> {
  return db.transaction().execute(async (trx) => {
    const job = await fenced(trx, { id, attempt })
    const changes = { progress, heartbeat_at: now.toISOString(), ran_ms: ranUntil(job, now) }
    return (await updateJob(trx, id, changes)).order
  })
}

export interface AttemptRef {
  readonly id: string
  readonly attempt: number
}

/** Stores what an attempt reports. An epoch that is run again replaces its first row. */
export function recordEvents(
  db: Catalog,
  { id, attempt }: AttemptRef,
  events: readonly JobEvent[]
): Promise<void> {
  return db.transaction().execute(async (trx) => {
    await fenced(trx, { id, attempt })
    for (const event of events) await recordEvent(trx, { id, attempt }, event)
  })
}

async function recordEvent(
  trx: CatalogTransaction,
  { id, attempt }: AttemptRef,
  event: JobEvent
): Promise<void> {
  switch (event.type) {
    case 'stage':
      await updateJob(trx, id, { stage: event.stage, progress: event.progress })
      return
    case 'metric':
      await recordMetric(trx, { id, attempt }, event.metric)
      return
    case 'log': {
      const { at, level, message } = event
      await trx.insertInto('job_logs').values({ job_id: id, at, level, message }).execute()
    }
  }
}

async function recordMetric(
  trx: CatalogTransaction,
  { id, attempt }: AttemptRef,
  metric: { readonly stage: Stage; readonly epoch: number }
): Promise<void> {
  const { stage, epoch } = metric
  const row = { job_id: id, stage, epoch, attempt, metric: JSON.stringify(metric) }
  await trx
    .insertInto('job_metrics')
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(['job_id', 'stage', 'epoch']).doUpdateSet({ attempt, metric: row.metric })
    )
    .execute()
}

/** The job, if `attempt` is the one that holds it. @throws ServiceError ATTEMPT_STALE */
export async function fenced(
  db: Catalog | CatalogTransaction,
  { id, attempt }: AttemptRef
): Promise<JobRow> {
  const job = await getJob(db, id)
  if (job.state === 'running' && job.attempt === attempt) return job
  throw stale(
    `Cannot go on with attempt ${attempt}: the job is ${job.state} at attempt ${job.attempt}`
  )
}

/** Running time up to now. Of a silence, no more counts than it takes to call an attempt lost. */
function ranUntil(job: JobRow, now: Date): number {
  if (job.heartbeat_at === null) return job.ran_ms
  const sinceMs = now.getTime() - Date.parse(job.heartbeat_at)
  return job.ran_ms + Math.min(Math.max(sinceMs, 0), lostAfterMs)
}

function stale(detail: string): ServiceError {
  return new ServiceError('ATTEMPT_STALE', { detail })
}
