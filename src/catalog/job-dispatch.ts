/**
 * Finds the jobs that nobody holds, for reconciliation.
 *
 * Adding a dispatch that the queue still has is a no-op, so every queued job may be handed over again
 * and again. A running job whose attempt has fallen silent gets a new dispatch number, once: the old
 * one may still be in the hands of the worker that was cut off.
 */
import { isLost, type JobRow, moveJob, updateJob } from './jobs.ts'
import type { Catalog } from './open.ts'

export interface Unheld {
  readonly id: string
  readonly dispatch: number
}

/** Jobs to hand to the queue now, oldest first. */
export async function findUnheld(db: Catalog, now = new Date()): Promise<Unheld[]> {
  const rows = await db
    .selectFrom('jobs')
    .selectAll()
    .where('state', 'in', ['queued', 'running'])
    .where('dataset_version', 'is not', null)
    .orderBy('id')
    .execute()
  const unheld: Unheld[] = []
  for (const job of rows) {
    if (job.state === 'queued') unheld.push({ id: job.id, dispatch: job.dispatch })
    else if (isLost(job, now)) unheld.push(...(await supersede(db, job, now)))
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
      await moveJob(trx, job, 'cancel', {}, now)
      return []
    }
    const taken = job.dispatch === job.claimed_dispatch
    const { dispatch } = taken ? await updateJob(trx, job.id, { dispatch: job.dispatch + 1 }) : job
    return [{ id: job.id, dispatch }]
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
