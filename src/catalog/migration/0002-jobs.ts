/**
 * Tables of jobs: the jobs, what they report while they run, the files they keep, and the answers
 * that idempotency keys stand for. Times are RFC 3339 texts, structures JSON texts.
 */
import { type Generated, type Kysely, sql } from 'kysely'
import type { JobKind, JobPriority, JobState, Stage } from '../../contract/job.ts'

export interface JobTable {
  id: string
  kind: JobKind
  parent: string | null
  state: JobState
  stage: Stage | null
  progress: number
  /** Counts claims. The number of the newest one is the fencing token. */
  attempt: number
  /** Counts dispatches: `<id>-<dispatch>` is the job's name in the queue. */
  dispatch: number
  /** The dispatch that the newest attempt came by. */
  claimed_dispatch: number
  /** Crashes in a row without checkpoint progress. */
  crashes: number
  /** What the worker is told at its next heartbeat. */
  order: 'continue' | 'stop' | 'cancel'
  /** The worker that holds the job, while it is running. */
  worker: string | null
  /** Last sign of life of the attempt, while the job is running. */
  heartbeat_at: string | null
  /** Running time so far, over all attempts. */
  ran_ms: number
  dataset_id: string
  dataset_name: string
  /** Null while the job waits for the dataset's import. */
  dataset_version: number | null
  dataset_hash: string | null
  model: string
  alias: string | null
  seed: number
  spec: string
  /** Null while the job waits for the dataset's import, and of an evaluation. */
  recipe: string | null
  reasons: string
  limits: string | null
  stop_reason: string | null
  error: string | null
  result: string | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  /** JSON: the spec's webhook (0005). */
  webhook: Generated<string | null>
  /** Key that posted it; null without keys (0006). */
  owner: Generated<string | null>
  /** Which jobs go first, and whose turn it is among equals (0007). */
  priority: Generated<JobPriority>
  turn: Generated<number>
  /** JSON: Environment of the first attempt (0007). */
  environment: Generated<string | null>
  /** Whether all attempts ran in it: 1 or 0; null before the first (0007). */
  bit_exact: Generated<number | null>
  /** JSON: Decision[] (0007). */
  decisions: Generated<string>
  /** Number of the last batch of events that the attempt has had stored; 0 before the first (0007). */
  event_batch: Generated<number>
  /** Not dispatched before this time, unless null (0007). */
  not_before: Generated<string | null>
  /** JSON: TraceContext of the request that posted it; null where nothing was traced (0012). */
  trace: Generated<string | null>
}

export interface JobMetricTable {
  job_id: string
  stage: Stage
  epoch: number
  attempt: number
  metric: string
  seq: Generated<number>
}

export interface JobLogTable {
  seq: Generated<number>
  job_id: string
  at: string
  level: 'info' | 'warn' | 'error'
  message: string
  /** Place in the job's log, from 1 on; kept by a trigger (0004). */
  n: Generated<number>
}

/** Checkpoints and artifacts of jobs that have not ended, by the name the worker gave them. */
export interface JobFileTable {
  seq: Generated<number>
  job_id: string
  kind: 'checkpoint' | 'artifact'
  name: string
  sha256: string
  bytes: number
}

export interface IdempotencyTable {
  caller: string
  route: string
  key: string
  /** Of the payload; null until an upload has been read. */
  fingerprint: string | null
  /** Null while the first request is still running. */
  status: number | null
  headers: string | null
  body: string | null
  created_at: string
}

export interface JobTables {
  jobs: JobTable
  job_metrics: JobMetricTable
  job_logs: JobLogTable
  job_files: JobFileTable
  idempotency_keys: IdempotencyTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table jobs (
    id text primary key,
    kind text not null,
    parent text,
    state text not null check (state in ('queued', 'running', 'completed', 'failed', 'cancelled')),
    stage text,
    progress real not null,
    attempt integer not null,
    dispatch integer not null,
    claimed_dispatch integer not null,
    crashes integer not null,
    "order" text not null,
    worker text,
    heartbeat_at text,
    ran_ms integer not null,
    dataset_id text not null,
    dataset_name text not null,
    dataset_version integer,
    dataset_hash text,
    model text not null,
    alias text,
    seed integer not null,
    spec text not null,
    recipe text,
    reasons text not null,
    limits text,
    stop_reason text,
    error text,
    result text,
    created_at text not null,
    started_at text,
    finished_at text
  ) strict`,
  // The last word on transitions; job-state.ts has the first.
  `create trigger job_transition before update of state on jobs
    when old.state <> new.state and not (
      (old.state = 'queued' and new.state in ('running', 'failed', 'cancelled')) or
      (old.state = 'running' and new.state in ('queued', 'completed', 'failed', 'cancelled')))
    begin select raise(abort, 'illegal transition of a job'); end`,
  'create index job_by_state on jobs (state, id)',
  'create index job_by_dataset on jobs (dataset_id, state)',
  `create table job_metrics (
    seq integer primary key autoincrement,
    job_id text not null references jobs (id) on delete cascade,
    stage text not null,
    epoch integer not null,
    attempt integer not null,
    metric text not null,
    unique (job_id, stage, epoch)
  ) strict`,
  `create table job_logs (
    seq integer primary key autoincrement,
    job_id text not null references jobs (id) on delete cascade,
    at text not null,
    level text not null,
    message text not null
  ) strict`,
  'create index job_log_by_job on job_logs (job_id, seq)',
  `create table job_files (
    seq integer primary key autoincrement,
    job_id text not null references jobs (id) on delete cascade,
    kind text not null,
    name text not null,
    sha256 text not null,
    bytes integer not null,
    unique (job_id, kind, name)
  ) strict`,
  'create index job_file_by_content on job_files (sha256)',
  `create table idempotency_keys (
    caller text not null,
    route text not null,
    key text not null,
    fingerprint text,
    status integer,
    headers text,
    body text,
    created_at text not null,
    primary key (caller, route, key)
  ) strict`,
  'create index idempotency_by_age on idempotency_keys (created_at)'
]
