/** What the catalogue holds, in numbers, for `GET /metrics`: by indices only, since it is asked all the time. */
import { sql } from 'kysely'
import type { JobState } from '../contract/job.ts'
import type { Catalog } from './open.ts'

export interface JobCount {
  readonly kind: string
  readonly state: JobState
  readonly count: number
}

/** Jobs by kind and state; combinations of which there is none are left out. */
export function jobCounts(db: Catalog): Promise<JobCount[]> {
  return db
    .selectFrom('jobs')
    .select(({ fn }) => ['kind', 'state', fn.countAll<number>().as('count')])
    .groupBy(['state', 'kind'])
    .execute()
}

export interface QueueFigures {
  /** Queued jobs. */
  readonly jobs: number
  /** Since when the one that waits for longest has waited; null when none does. */
  readonly since: Date | null
}

/** How many jobs wait, and for how long. One that has run before waits since it was given back. */
export async function queueFigures(db: Catalog): Promise<QueueFigures> {
  const { rows } = await sql<{ jobs: number; at: string | null }>`
    select count(*) as jobs, min(coalesce(
      (select at from job_events where job_id = jobs.id and type = 'state' order by seq desc limit 1),
      created_at)) as at
    from jobs where state = 'queued'`.execute(db)
  const { jobs = 0, at = null } = rows[0] ?? {}
  return { jobs, since: at === null ? null : new Date(at) }
}

/** Webhook messages that are still to be delivered, and those that were given up. */
export function deliveryCounts(
  db: Catalog
): Promise<{ readonly state: string; readonly count: number }[]> {
  return db
    .selectFrom('deliveries')
    .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
    .where('state', 'in', ['pending', 'failed'])
    .groupBy('state')
    .execute()
}
