/** Which files of a job are kept, and until when. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { claimJob } from '../../../src/catalog/job-attempts.ts'
import {
  dropEndedFiles,
  jobCheckpoints,
  keepFile,
  unreferenced
} from '../../../src/catalog/job-files.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

/** A running job, and how its attempt stores checkpoint `n`. */
async function running(t: TestContext) {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const { attempt } = await claimJob(db, id, { dispatch: 1, worker: 'w' })
  const keep = (n: number, damaged: readonly string[] = []) => {
    const file = { name: `c${n}`, sha256: `s${n}`, bytes: n, damaged }
    return keepFile(db, { id, attempt }, 'checkpoint', file)
  }
  const names = async () => (await jobCheckpoints(db, id)).map(({ name }) => name)
  return { db, ref: { id, attempt }, keep, names }
}

test('the last two checkpoints are kept, newest first, until the job ends', async (t) => {
  const { db, ref, keep, names } = await running(t)
  assert.deepEqual([await keep(1), await keep(2), await keep(3)], [[], [], ['s1']])
  assert.deepEqual(await names(), ['c3', 'c2'])
  assert.deepEqual(await unreferenced(db, ['s1', 's2', 's3']), ['s1'])
  assert.deepEqual(await dropEndedFiles(db), [])
  await settleAttempt(db, ref, { kind: 'failed', code: 'TRAINING_DIVERGED', detail: '' })
  const dropped = await dropEndedFiles(db)
  assert.deepEqual(await unreferenced(db, dropped), ['s2', 's3'])
})

test('a damaged checkpoint makes room for a new one before an older, sound one does', async (t) => {
  const { keep, names } = await running(t)
  for (const n of [1, 2]) await keep(n)
  assert.deepEqual(await keep(3, ['c2']), ['s2'])
  assert.deepEqual(await names(), ['c3', 'c1'])
  // The attempt goes on naming what it could not use at its start.
  assert.deepEqual(await keep(4, ['c2']), ['s1'])
  assert.deepEqual(await names(), ['c4', 'c3'])
})

test('where all are damaged, the newest stays beside the new one until there is another', async (t) => {
  const { keep, names } = await running(t)
  for (const n of [1, 2]) await keep(n)
  assert.deepEqual(await keep(3, ['c2', 'c1']), ['s1'])
  assert.deepEqual(await keep(4, ['c2', 'c1']), ['s2'])
  assert.deepEqual(await names(), ['c4', 'c3'])
})

test('a checkpoint that is stored again under its name supersedes what it had', async (t) => {
  const { db, ref, keep, names } = await running(t)
  for (const n of [1, 2]) await keep(n)
  const again = { name: 'c2', sha256: 'other', bytes: 2 }
  assert.deepEqual(await keepFile(db, ref, 'checkpoint', again), ['s2'])
  assert.deepEqual(await names(), ['c2', 'c1'])
})
