/** The catalogue's own word on transitions of jobs, held against that of `nextState`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type JobMove, nextState } from '../../../src/catalog/job-state.ts'
import type { Catalog } from '../../../src/catalog/open.ts'
import { type JobState, jobStates } from '../../../src/contract/job.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

const moves: readonly JobMove[] = ['claim', 'requeue', 'complete', 'fail', 'cancel']

/** The cause of every end, so that no write is refused for the want of one. */
const causes = { error: '{}', result: '{}', stop_reason: 'cancelled' }
const write = (db: Catalog, id: string, state: JobState) =>
  db
    .updateTable('jobs')
    .set({ state, ...causes })
    .where('id', '=', id)
    .execute()

/** A job that has come to `state` by steps that are allowed. */
async function jobIn(db: Catalog, state: JobState): Promise<string> {
  const { id } = await queuedJob(db)
  if (state !== 'queued') await write(db, id, 'running')
  if (state !== 'queued' && state !== 'running') await write(db, id, state)
  return id
}

function leads(from: JobState, to: JobState): boolean {
  return moves.some((move) => {
    try {
      return nextState(from, move) === to
    } catch {
      return false
    }
  })
}

test('the catalogue refuses every transition that no move makes, and no other', async (t) => {
  const db = await temporaryCatalog(t)
  for (const from of jobStates) {
    // To write the state that a job has is no transition.
    await write(db, await jobIn(db, from), from)
    for (const to of jobStates.filter((state) => state !== from)) {
      const writing = write(db, await jobIn(db, from), to)
      if (leads(from, to)) await writing
      else await assert.rejects(writing, /illegal transition of a job/, `${from} to ${to}`)
    }
  }
})
