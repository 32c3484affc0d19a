/**
 * The history of jobs: one row for every change that a follower may want to hear of, in one sequence.
 *
 * Triggers write it, so no writer of jobs, metrics or logs can forget to. Metrics and log lines are
 * referred to, not copied: `ref` is their row. Triggers also cap the log of a job: what is between its
 * first and its newest lines is dropped as it grows, each line together with its event.
 */
import { type Generated, type Kysely, sql } from 'kysely'

/** Lines of a job's log that are kept from its start, and of its newest ones. */
export const logLimits = { first: 1000, newest: 10_000 } as const

export interface JobEventTable {
  /** Grows over all jobs; the `id:` of a server-sent event. */
  seq: Generated<number>
  job_id: string
  at: string
  type: 'state' | 'stage' | 'metric' | 'log'
  /** JSON of a state or stage; null for what `ref` refers to. */
  data: string | null
  /** `seq` in job_metrics or job_logs. */
  ref: number | null
}

export interface JobEventTables {
  job_events: JobEventTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const now = `strftime('%Y-%m-%dT%H:%M:%fZ', 'now')`
const state = (row: string) =>
  `json_object('state', ${row}.state, 'attempt', ${row}.attempt, 'stopReason', ${row}.stop_reason)`
const insert = `insert into job_events (job_id, at, type, data, ref)`
/** The line that has just come in is the one after the newest of its job. */
const place = `1 + coalesce((select n from job_logs
  where job_id = new.job_id and seq < new.seq order by seq desc limit 1), 0)`
/** What has come to lie between the first and the newest lines: one at a time, so nothing is counted. */
const beyond = `from job_logs where job_id = new.job_id and n > ${logLimits.first}
  and n <= (select n from job_logs where seq = new.seq) - ${logLimits.newest}`

const statements = [
  `create table job_events (
    seq integer primary key autoincrement,
    job_id text not null references jobs (id) on delete cascade,
    at text not null,
    type text not null check (type in ('state', 'stage', 'metric', 'log')),
    data text,
    ref integer
  ) strict`,
  'create index job_event_by_job on job_events (job_id, seq)',
  `create index job_event_of_log on job_events (ref) where type = 'log'`,
  // The place of a line in its job's log, from 1 on; where lines were dropped there is a gap.
  'alter table job_logs add column n integer not null default 0',
  `update job_logs set n = placed.n from
    (select seq, row_number() over (partition by job_id order by seq) as n from job_logs) as placed
    where placed.seq = job_logs.seq`,
  `create index job_log_by_place on job_logs (job_id, n) where n > ${logLimits.first}`,
  // Jobs are counted by state and kind at every look at the metrics.
  'create index job_by_state_and_kind on jobs (state, kind)',
  // What is known of jobs from before there was a history.
  `${insert} select id, created_at, 'state', ${state('jobs')}, null from jobs order by id`,
  `${insert} select job_id, json_extract(metric, '$.at'), 'metric', null, seq from job_metrics order by seq`,
  `${insert} select job_id, at, 'log', null, seq from job_logs order by seq`,
  `create trigger job_event_created after insert on jobs
    begin ${insert} values (new.id, ${now}, 'state', ${state('new')}, null); end`,
  `create trigger job_event_state after update of state, attempt on jobs
    when old.state <> new.state or old.attempt <> new.attempt
    begin ${insert} values (new.id, ${now}, 'state', ${state('new')}, null); end`,
  `create trigger job_event_stage after update of stage on jobs
    when new.stage is not null and old.stage is not new.stage
    begin ${insert} values (new.id, ${now}, 'stage',
      json_object('stage', new.stage, 'progress', new.progress), null); end`,
  `create trigger job_event_metric after insert on job_metrics
    begin ${insert} values (new.job_id, ${now}, 'metric', null, new.seq); end`,
  `create trigger job_event_metric_again after update of metric on job_metrics
    when old.metric <> new.metric
    begin
      -- What it says is no longer so: whoever reads the whole history shall see each epoch once.
      delete from job_events where job_id = new.job_id and type = 'metric' and ref = new.seq;
      ${insert} values (new.job_id, ${now}, 'metric', null, new.seq);
    end`,
  `create trigger job_event_log after insert on job_logs
    begin
      ${insert} values (new.job_id, new.at, 'log', null, new.seq);
      update job_logs set n = ${place} where seq = new.seq;
      delete from job_events where type = 'log' and ref in (select seq ${beyond});
      delete ${beyond};
    end`
]
