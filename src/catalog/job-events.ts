/**
 * The history of jobs as followers read it: pages of rows after a row, and what is new over all jobs.
 *
 * Rows are written by triggers (migration/0004-job-events.ts); here they are only read.
 */
import { sql } from 'kysely'
import type { JobState, Stage } from '../contract/job.ts'
import type { JobEventTable } from './migration/0004-job-events.ts'
import type { Catalog } from './open.ts'

export interface JobEventRow {
  /** Catalogue row: grows over all jobs, so with gaps within one. */
  readonly seq: number
  readonly type: JobEventTable['type']
  readonly data: unknown
}

export interface EventPage {
  readonly id: string
  /** Row after which to read. */
  readonly after: number
  readonly limit: number
}

/** The rows of a job after a row, oldest first. */
export async function jobEvents(
  db: Catalog,
  { id, after, limit }: EventPage
): Promise<JobEventRow[]> {
  const rows = await db
    .selectFrom('job_events as event')
    .leftJoin('job_metrics as metric', (join) =>
      join.on('event.type', '=', 'metric').onRef('metric.seq', '=', 'event.ref')
    )
    .leftJoin('job_logs as log', (join) =>
      join.on('event.type', '=', 'log').onRef('log.seq', '=', 'event.ref')
    )
    .select(['event.seq', 'event.at', 'event.type', 'event.data', 'metric.metric'])
    .select(['log.at as loggedAt', 'log.level', 'log.message'])
    .where('event.job_id', '=', id)
    .where('event.seq', '>', after)
    .orderBy('event.seq')
    .limit(limit)
    .execute()
  return rows.map(({ seq, type, at, data, metric, loggedAt, level, message }) => {
    if (type === 'log') return { seq, type, data: { at: loggedAt, level, message } }
    return { seq, type, data: metric === null ? withTime(data, at) : JSON.parse(metric) }
  })
}

const withTime = (data: string | null, at: string) => ({ ...JSON.parse(data ?? '{}'), at })

/** The state of a job, or undefined when it has been deleted. */
export async function jobState(db: Catalog, id: string): Promise<JobState | undefined> {
  const query = db.selectFrom('jobs').select('state').where('id', '=', id)
  return (await query.executeTakeFirst())?.state
}

/** The last row that was ever written, over all jobs; 0 before the first. */
export async function newestEvent(db: Catalog): Promise<number> {
  const { rows } = await sql<{
    seq: number
  }>`select seq from sqlite_sequence where name = 'job_events'`.execute(db)
  return rows[0]?.seq ?? 0
}

export interface NewEvents {
  readonly newest: number
  /** Jobs that have rows after the one that was asked for. */
  readonly jobs: readonly string[]
  /** Whether some of the rows are gone again, as those of a job that was deleted are. */
  readonly isIncomplete: boolean
}

/** What has come after row `seen`, over all jobs. Two looks at keys, whatever the number of followers. */
export async function newEvents(db: Catalog, seen: number): Promise<NewEvents> {
  const newest = await newestEvent(db)
  if (newest <= seen) return { newest, jobs: [], isIncomplete: false }
  const rows = await db
    .selectFrom('job_events')
    .select(({ fn }) => ['job_id as job', fn.countAll<number>().as('count')])
    .where('seq', '>', seen)
    .where('seq', '<=', newest)
    .groupBy('job_id')
    .execute()
  const count = rows.reduce((sum, row) => sum + row.count, 0)
  return { newest, jobs: rows.map(({ job }) => job), isIncomplete: count < newest - seen }
}

/** Seconds that each stage of a job has run, over all attempts; what it waited in between is left out. */
export async function stageSeconds(db: Catalog, id: string): Promise<Map<Stage, number>> {
  const rows = await db
    .selectFrom('job_events')
    .select(['type', 'at', 'data'])
    .where('job_id', '=', id)
    .where('type', 'in', ['state', 'stage'])
    .orderBy('seq')
    .execute()
  const seconds = new Map<Stage, number>()
  let [stage, since]: [Stage | undefined, number | undefined] = [undefined, undefined]
  for (const { at, data } of rows) {
    const now = Date.parse(at)
    if (stage !== undefined && since !== undefined) {
      seconds.set(stage, (seconds.get(stage) ?? 0) + Math.max(0, now - since) / 1000)
    }
    const event = JSON.parse(data ?? '{}') as { readonly stage?: Stage; readonly state?: JobState }
    stage = event.stage ?? stage
    since = event.state === undefined || event.state === 'running' ? now : undefined
  }
  return seconds
}
