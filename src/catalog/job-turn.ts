/**
 * Whose job goes next: within a priority, callers take turns, however many jobs each has posted.
 *
 * Start-time fair queueing, every job costing one (Goyal, Vin, Cheng, "Start-time fair queueing: a
 * scheduling algorithm for integrated services packet switching networks", SIGCOMM 1996, section 2):
 *
 *   turn(job) = max(v, turn(the caller's job before) + 1)      v = turn of the job started last
 *
 * Jobs start in the order of their turns, so a caller with a hundred waiting jobs holds up another's
 * single one by none of them. Jobs of one caller never overtake each other, and nobody starves: a
 * caller's turns rise with every job. `caller_turns` remembers the last turn that each caller took, also
 * when the job is deleted; a trigger writes it when a job starts.
 *
 * Departs from the paper: v is the highest turn that has started, because several jobs run at once; and
 * it begins at 0 again when nothing of the priority waits or runs, so that turns stay small.
 */
import { sql } from 'kysely'
import type { JobPriority } from '../contract/job.ts'
import type { CatalogTransaction } from './database.ts'
import type { Catalog } from './open.ts'

export interface Caller {
  readonly priority: JobPriority
  /** Null where nobody shows a key: all of them are one caller. */
  readonly owner: string | null
}

/** The turn of a job that can be run from now on. To be stored in the same transaction. */
export async function nextTurn(db: Catalog | CatalogTransaction, caller: Caller): Promise<number> {
  const { priority, owner } = caller
  if (!(await isBusy(db, priority))) {
    await db.deleteFrom('caller_turns').where('priority', '=', priority).execute()
    return 0
  }
  const { started, own } = await db
    .selectFrom('caller_turns')
    .select(({ fn }) => [
      fn.max('turn').as('started'),
      sql<number | null>`max(turn) filter (where owner = ${owner ?? ''})`.as('own')
    ])
    .where('priority', '=', priority)
    .executeTakeFirstOrThrow()
  const last = Math.max(own ?? -1, await lastWaiting(db, caller))
  return Math.max(started ?? 0, last + 1)
}

async function isBusy(db: Catalog | CatalogTransaction, priority: JobPriority): Promise<boolean> {
  const found = await db
    .selectFrom('jobs')
    .select('id')
    .where('state', 'in', ['queued', 'running'])
    .where('priority', '=', priority)
    .where('dataset_version', 'is not', null)
    .limit(1)
    .execute()
  return found.length > 0
}

/** The highest turn of the caller's jobs that wait to be started; -1 when none does. */
async function lastWaiting(
  db: Catalog | CatalogTransaction,
  { priority, owner }: Caller
): Promise<number> {
  const last = await db
    .selectFrom('jobs')
    .select('turn')
    .where('state', '=', 'queued')
    .where('priority', '=', priority)
    .where('owner', 'is', owner)
    .where('attempt', '=', 0)
    .where('dataset_version', 'is not', null)
    .orderBy('turn', 'desc')
    .limit(1)
    .executeTakeFirst()
  return last?.turn ?? -1
}
