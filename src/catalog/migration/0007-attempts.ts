/**
 * What makes attempts repeatable and their order fair: where a job first ran, what was decided by the
 * clock, and its turn among those of other callers.
 */
import { type Kysely, sql } from 'kysely'
import type { JobPriority } from '../../contract/job.ts'

export interface CallerTurnTable {
  priority: JobPriority
  /** Empty where nobody shows a key. */
  owner: string
  /** Of the caller's job that started last. */
  turn: number
}

export interface TurnTables {
  caller_turns: CallerTurnTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `alter table jobs add column priority text not null default 'normal'
    check (priority in ('low', 'normal', 'high'))`,
  // Start-time fair queueing: the virtual time at which it is this job's turn (catalog/job-turn.ts).
  'alter table jobs add column turn integer not null default 0',
  'create index job_by_turn on jobs (state, priority, owner, turn)',
  `create table caller_turns (
    priority text not null,
    owner text not null,
    turn integer not null,
    primary key (priority, owner)
  ) strict, without rowid`,
  // A job that is deleted has still had its turn.
  `create trigger caller_took_turn after update of attempt on jobs
    when old.attempt = 0 and new.attempt > 0
    begin insert into caller_turns (priority, owner, turn)
      values (new.priority, coalesce(new.owner, ''), new.turn)
      on conflict (priority, owner) do update set turn = max(turn, excluded.turn); end`,
  // JSON: Environment of the first attempt.
  'alter table jobs add column environment text',
  // 1 while every attempt ran in that environment, 0 once one did not; null before the first.
  'alter table jobs add column bit_exact integer',
  // JSON: Decision[], in the order in which they were taken.
  `alter table jobs add column decisions text not null default '[]'`,
  // Of the events that the attempt has told: the number of the last batch that is stored.
  'alter table jobs add column event_batch integer not null default 0',
  // No earlier than this a job that was put off is dispatched again; null: at once.
  'alter table jobs add column not_before text',
  // An end has its cause: a failure its problem, a success its result, a cancellation its reason.
  `update jobs set stop_reason = 'cancelled' where state = 'cancelled'`,
  `create trigger job_end_has_cause before update of state on jobs
    when old.state <> new.state and (
      (new.state = 'failed' and new.error is null) or
      (new.state = 'completed' and new.result is null) or
      (new.state = 'cancelled' and new.stop_reason is not 'cancelled'))
    begin select raise(abort, 'a job ended without a cause'); end`
]
