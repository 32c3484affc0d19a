/** Jobs whose worker cannot go on: put off, not failed, and nothing is counted against them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimJob } from '../../../src/catalog/job-attempts.ts'
import { findQueued } from '../../../src/catalog/job-dispatch.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { getJob, jobLogs } from '../../../src/catalog/jobs.ts'
import type { Outcome } from '../../../src/contract/internal.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

const start = Date.parse('2026-01-01T00:00:00Z')
const at = (seconds: number) => new Date(start + seconds * 1000)

const supervisorDied: Outcome = {
  kind: 'crashed',
  cause: 'supervisor',
  exitCode: null,
  signal: null,
  progressed: false,
  detail: 'the api was away'
}

test('a job that is put off is dispatched a minute later, and its log says why', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db, {}, at(0))
  const { attempt } = await claimJob(db, id, { dispatch: 1, worker: 'w' }, at(1))
  const outcome = { kind: 'postponed', detail: 'no room is left on the disk' } as const
  const job = await settleAttempt(db, { id, attempt }, outcome, at(2))
  assert.deepEqual([job.state, job.dispatch, job.crashes], ['queued', 2, 0])
  assert.deepEqual(await findQueued(db, at(61)), [])
  assert.deepEqual(
    (await findQueued(db, at(62))).map(({ id, dispatch }) => [id, dispatch]),
    [[id, 2]]
  )
  const [line] = await jobLogs(db, id, 0, 10)
  assert.equal(line?.message, 'put off until 2026-01-01T00:01:02.000Z: no room is left on the disk')
})

test('a job that is released after it was put off is dispatched at once', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db, {}, at(0))
  for (const [dispatch, kind] of [
    [1, 'postponed'],
    [2, 'released']
  ] as const) {
    const { attempt } = await claimJob(db, id, { dispatch, worker: 'w' }, at(dispatch))
    const outcome: Outcome = kind === 'postponed' ? { kind, detail: 'full' } : { kind }
    await settleAttempt(db, { id, attempt }, outcome, at(dispatch))
  }
  assert.deepEqual(
    (await findQueued(db, at(3))).map((job) => job.dispatch),
    [3]
  )
})

test('failures around the trainer are no crashes of the job, however many there are', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db, {}, at(0))
  for (let dispatch = 1; dispatch <= 5; dispatch++) {
    const now = at(dispatch * 100)
    const { attempt } = await claimJob(db, id, { dispatch, worker: 'w' }, now)
    await settleAttempt(db, { id, attempt }, supervisorDied, now)
  }
  const { state, crashes, not_before } = await getJob(db, id)
  assert.deepEqual([state, crashes, not_before], ['queued', 0, at(560).toISOString()])
})
