/**
 * Finds the jobs that nobody holds, for reconciliation.
 *
 * Adding a dispatch that the queue still has is a no-op, so every queued job may be handed over again
 * and again. A running job whose attempt has fallen silent gets a new dispatch number, once: the old
 * one may still be in the hands of the worker that was cut off.
 */
import { isLost } from './job-lease.ts'
import { type JobRow, moveJob, updateJob } from './jobs.ts'
import type { Catalog } from './open.ts'

/** What the queue must know of a job. */
export type Unheld = Pick<JobRow, 'id' | 'dispatch' | 'priority' | 'turn' | 'attempt' | 'trace'>

const unheldColumns = ['id', 'dispatch', 'priority', 'turn', 'attempt', 'trace'] as const

/** Queued jobs that can be run now, oldest first. */
export function findQueued(db: Catalog, now = new Date()): Promise<Unheld[]> {
  return db
    .selectFrom('jobs')
    .select(unheldColumns)
    .where('state', '=', 'queued')
    .where('dataset_version', 'is not', null)
    .where(({ eb, or }) =>
      or([eb('not_before', 'is', null), eb('not_before', '<=', now.toISOString())])
    )
    .orderBy('id')
    .execute()
}

/** Running jobs whose attempt has fallen silent, each with a dispatch that nobody holds. */
export async function findLost(db: Catalog, now = new Date()): Promise<Unheld[]> {
  const running = await db.selectFrom('jobs').selectAll().where('state', '=', 'running').execute()
  const unheld: Unheld[] = []
  for (const job of running) {
    if (isLost(job, now)) unheld.push(...(await supersede(db, job, now)))
  }
  return unheld
}

/** Takes a lost attempt's dispatch away from it. */
function supersede(db: Catalog, seen: JobRow, now: Date): Promise<Unheld[]> {
  return db.transaction().execute(async (trx) => {
    const job = await trx
      .selectFrom('jobs')
      .selectAll()
      .where('id', '=', seen.id)
      .where('state', '=', 'running')
      .executeTakeFirst()
    if (job === undefined || !isLost(job, now)) return []
    if (job.order === 'cancel') {
      await moveJob(trx, job, 'cancel', { stop_reason: 'cancelled' }, now)
      return []
    }
    const taken = job.dispatch === job.claimed_dispatch
    const { dispatch } = taken ? await updateJob(trx, job.id, { dispatch: job.dispatch + 1 }) : job
    return [{ ...job, dispatch }]
  })
}

/** Jobs that wait for the import of their dataset. */
export function findWaiting(db: Catalog): Promise<JobRow[]> {
  return db
    .selectFrom('jobs')
    .selectAll()
    .where('state', '=', 'queued')
    .where('dataset_version', 'is', null)
    .orderBy('id')
    .execute()
}
