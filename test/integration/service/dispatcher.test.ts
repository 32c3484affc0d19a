/** Whose jobs are handed over, and when: with a clock in hand. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openBlobs } from '../../../src/blob/blobs.ts'
import { beat, claimJob } from '../../../src/catalog/job-attempts.ts'
import { keepFile } from '../../../src/catalog/job-files.ts'
import { lostAfterMs } from '../../../src/catalog/job-lease.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { createJob } from '../../../src/catalog/jobs.ts'
import type { Catalog } from '../../../src/catalog/open.ts'
import { createDispatcher } from '../../../src/service/dispatcher.ts'
import { createPlanner } from '../../../src/service/job-planner.ts'
import { quiet } from '../../support/api-app.ts'
import { queuedJob, temporaryCatalog, temporaryFolder } from '../../support/catalog.ts'

const settlingMs = 10_000
const start = 1_800_000_000_000

async function dispatching(t: TestContext) {
  const db = await temporaryCatalog(t)
  const blobs = await openBlobs(join(await temporaryFolder(t), 'blobs'))
  const storage = { capacity: async () => Number.POSITIVE_INFINITY }
  const planner = createPlanner({ db, memoryLimit: 2 ** 30, webhookTargets: 'public', storage })
  const clock = { now: start }
  const sent: string[] = []
  const errors: unknown[] = []
  /** As an api would make one at its start. */
  const dispatcher = () =>
    createDispatcher({
      db,
      blobs,
      planner,
      send: async (id, n) => void sent.push(`${id}-${n}`),
      log: { ...quiet(), error: (fields: unknown) => void errors.push(fields) },
      now: () => clock.now
    })
  return { db, blobs, clock, sent, errors, dispatcher }
}

const claim = (db: Catalog, id: string, now: number) =>
  claimJob(db, id, { dispatch: 1, worker: 'host-1' }, new Date(now))

test('recover() takes a job from a worker that has been silent too long, and only then', async (t) => {
  const { db, clock, sent, dispatcher } = await dispatching(t)
  const { recover } = dispatcher()
  clock.now += settlingMs
  const { id } = await queuedJob(db)
  await claim(db, id, clock.now)
  clock.now += lostAfterMs
  await recover()
  assert.deepEqual(sent, [])
  clock.now += 1
  await recover()
  await recover()
  // Adding a dispatch twice does nothing; the queue may have lost the first.
  assert.deepEqual(sent, [`${id}-2`, `${id}-2`])
})

test('recover() leaves workers the time to be heard after the api was away', async (t) => {
  const { db, clock, sent, dispatcher } = await dispatching(t)
  const [living, dead] = [await queuedJob(db), await queuedJob(db)]
  await claim(db, living.id, clock.now)
  await claim(db, dead.id, clock.now)
  clock.now += 60 * lostAfterMs
  const { recover, reconcile } = dispatcher()
  await recover()
  await reconcile()
  assert.deepEqual(sent, [])
  clock.now += settlingMs
  await beat(db, { id: living.id, attempt: 1 }, 0.5, new Date(clock.now))
  await recover()
  assert.deepEqual(sent, [`${dead.id}-2`])
})

test('reconcile() hands over in the order in which jobs start', async (t) => {
  const { db, clock, sent, dispatcher } = await dispatching(t)
  const post = async (priority: 'low' | 'normal' | 'high', owner: string) =>
    (await queuedJob(db, { priority, owner }, new Date(clock.now))).id
  const low = await post('low', 'a')
  const [first, second] = [await post('normal', 'a'), await post('normal', 'a')]
  const high = await post('high', 'a')
  const other = await post('normal', 'b')
  await dispatcher().reconcile()
  assert.deepEqual(
    sent,
    [high, first, other, second, low].map((id) => `${id}-1`)
  )
})

test('reconcile() does the rest of its round when a waiting job cannot be started', async (t) => {
  const { db, blobs, sent, errors, dispatcher } = await dispatching(t)
  const dataset = { id: 'ds_1', name: 'digits' }
  const spec = { dataset: 'digits', model: 'digits' }
  const broken = await createJob(db, { spec, dataset, seed: 7, plan: null })
  await db.updateTable('jobs').set({ spec: '{' }).where('id', '=', broken.id).execute()
  const waiting = await createJob(db, { spec, dataset, seed: 7, plan: null })
  const ended = await queuedJob(db)
  const { attempt } = await claim(db, ended.id, start)
  const stored = await blobs.put(Buffer.from('weights'))
  await keepFile(db, { id: ended.id, attempt }, 'checkpoint', { name: 'c1', ...stored })
  const failed = { kind: 'failed', code: 'TRAINING_DIVERGED', detail: '' } as const
  await settleAttempt(db, { id: ended.id, attempt }, failed)
  const ready = await queuedJob(db)

  await dispatcher().reconcile()
  assert.deepEqual(sent, [`${ready.id}-1`])
  assert.equal(await blobs.has(stored.sha256), false)
  const states = await db.selectFrom('jobs').select(['id', 'state']).execute()
  const stateOf = (id: string) => states.find((job) => job.id === id)?.state
  // Its dataset is not there, of which it is told in the same round.
  assert.deepEqual([stateOf(waiting.id), stateOf(broken.id)], ['failed', 'queued'])
  const [told, ...others] = errors as { readonly jobId: string; readonly err: unknown }[]
  assert.deepEqual([told?.jobId, others], [broken.id, []])
  assert.ok(told?.err instanceof SyntaxError)
})
