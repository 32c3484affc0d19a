/**
 * Jobs as workers use them: claim an attempt, keep it alive, report, end it.
 *
 * The attempt number fences: once a newer attempt has been claimed, or the job has ended, everything
 * an older one says is refused (ATTEMPT_STALE), so that a worker that was cut off cannot overwrite
 * its successor.
 */
import type { Claim, JobEvent, Orders } from '../contract/internal.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { recordDecision, recordEnvironment } from './job-environment.ts'
import { isLost, ranUntil } from './job-lease.ts'
import { recordMetric } from './job-metrics.ts'
import { hasEnded } from './job-state.ts'
import { getJob, type JobRow, moveJob, updateJob } from './jobs.ts'
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
    if (dispatch !== job.dispatch || job.dataset_version === null) {
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
      event_batch: 0,
      started_at: job.started_at ?? now.toISOString()
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
    const changes = {
      ...furthest(job, progress),
      heartbeat_at: now.toISOString(),
      ran_ms: ranUntil(job, now)
    }
    return (await updateJob(trx, id, changes)).order
  })
}

export interface AttemptRef {
  readonly id: string
  readonly attempt: number
}

export interface BatchRef extends AttemptRef {
  /** Number of the batch within the attempt. @default none: it cannot come again */
  readonly batch?: number
}

/** Stores what an attempt reports. False for a batch that is stored already: its answer was lost. */
export function recordEvents(
  db: Catalog,
  { id, attempt, batch }: BatchRef,
  events: readonly JobEvent[]
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    const job = await fenced(trx, { id, attempt })
    if (batch !== undefined && batch <= job.event_batch) return false
    for (const event of events) await recordEvent(trx, { id, attempt }, event)
    if (batch !== undefined) await updateJob(trx, id, { event_batch: batch })
    return true
  })
}

async function recordEvent(
  trx: CatalogTransaction,
  { id, attempt }: AttemptRef,
  event: JobEvent
): Promise<void> {
  switch (event.type) {
    case 'stage':
      await updateJob(trx, id, {
        stage: event.stage,
        ...furthest(await getJob(trx, id), event.progress)
      })
      return
    case 'metric':
      await recordMetric(trx, { id, attempt }, event.metric)
      return
    case 'environment': {
      const message = await recordEnvironment(trx, await getJob(trx, id), event.environment)
      if (message !== null) await recordLog(trx, id, { level: 'warn', message })
      return
    }
    case 'decision':
      await recordDecision(trx, await getJob(trx, id), event.decision)
      return
    case 'checkpoint':
      return
    case 'log':
      await recordLog(trx, id, event)
  }
}

/**
 * A new attempt begins at none, and comes up to where the one before was. Running time adds up over all of
 * them, so what is shown must not fall, or the time that is left would be a multiple of itself.
 */
const furthest = (job: JobRow, progress: number) => ({
  progress: Math.max(job.progress, progress)
})

async function recordLog(
  trx: CatalogTransaction,
  id: string,
  {
    at = new Date().toISOString(),
    level,
    message
  }: { readonly at?: string; readonly level: 'info' | 'warn' | 'error'; readonly message: string }
): Promise<void> {
  await trx.insertInto('job_logs').values({ job_id: id, at, level, message }).execute()
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

function stale(detail: string): ServiceError {
  return new ServiceError('ATTEMPT_STALE', { detail })
}
