import assert from 'node:assert/strict'
import { test } from 'node:test'
import { beat, claimJob, recordEvents, secondsLeft } from '../../../src/catalog/job-attempts.ts'
import { findLost, findQueued } from '../../../src/catalog/job-dispatch.ts'
import { jobDocument } from '../../../src/catalog/job-document.ts'
import { keepFile } from '../../../src/catalog/job-files.ts'
import { lostAfterMs } from '../../../src/catalog/job-lease.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import {
  cancelJob,
  deleteJob,
  getJob,
  jobMetrics,
  listJobs,
  stopJob
} from '../../../src/catalog/jobs.ts'
import type { Catalog } from '../../../src/catalog/open.ts'
import type { Metric } from '../../../src/contract/job.ts'
import { type ErrorCode, ServiceError } from '../../../src/errors.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'
import { publication } from '../../support/publication.ts'

const code = (expected: ErrorCode) => (error: unknown) =>
  error instanceof ServiceError && error.code === expected

const at = (ms: number): Date => new Date(1_800_000_000_000 + ms)
/** What reconciliation would hand to the queue. */
const unheld = async (db: Catalog, now = new Date()) =>
  [...(await findQueued(db, now)), ...(await findLost(db, now))].map(({ id, dispatch }) => ({
    id,
    dispatch
  }))
const worker = 'host-1'
const claim = async (db: Catalog, id: string, now = new Date(), name = worker) =>
  claimJob(db, id, { dispatch: (await getJob(db, id)).dispatch, worker: name }, now)

const metric = (epoch: number, loss: number): Metric => ({
  stage: 'train',
  epoch,
  at: at(epoch).toISOString(),
  loss,
  accuracy: 0.5,
  validation: { loss, accuracy: 0.5 },
  learningRate: 0.1,
  imagesPerSecond: 100
})

async function storeArtifacts(db: Catalog, id: string, attempt: number) {
  const { report, artifacts } = publication(id)
  for (const { file, sha256, bytes } of artifacts) {
    await keepFile(db, { id, attempt }, 'artifact', { name: file, sha256, bytes })
  }
  return { kind: 'completed', report, stopReason: null } as const
}

test('a job runs from queue to version, and its outcome may be reported twice', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const { attempt, state, started_at } = await claim(db, id)
  assert.deepEqual([attempt, state], [1, 'running'])
  assert.notEqual(started_at, null)
  const outcome = await storeArtifacts(db, id, attempt)
  for (let time = 0; time < 2; time += 1) {
    const job = await settleAttempt(db, { id, attempt }, outcome)
    assert.equal(job.state, 'completed')
    assert.deepEqual(JSON.parse(job.result ?? ''), {
      model: 'digits',
      version: 1,
      recommended: 'int8'
    })
    assert.notEqual(job.finished_at, null)
  }
  const versions = await db.selectFrom('model_versions').selectAll().execute()
  assert.equal(versions.length, 1)
})

test('a report without its artifacts is refused, and the job goes on', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const { attempt } = await claim(db, id)
  const { report } = publication(id)
  const outcome = { kind: 'completed', report, stopReason: null } as const
  await assert.rejects(settleAttempt(db, { id, attempt }, outcome), code('MODEL_INVALID'))
  assert.equal((await getJob(db, id)).state, 'running')
  assert.deepEqual(await db.selectFrom('models').selectAll().execute(), [])
})

test('an attempt that was superseded is refused whatever it says', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await claim(db, id, at(0))
  const later = at(lostAfterMs + 1)
  assert.deepEqual(await unheld(db, later), [{ id, dispatch: 2 }])
  const second = await claim(db, id, later, 'host-2')
  assert.equal(second.attempt, 2)
  const stale = { id, attempt: 1 }
  await assert.rejects(beat(db, stale, 0.5, later), code('ATTEMPT_STALE'))
  await assert.rejects(recordEvents(db, stale, []), code('ATTEMPT_STALE'))
  await assert.rejects(settleAttempt(db, stale, { kind: 'released' }), code('ATTEMPT_STALE'))
  const file = { name: 'a', sha256: 'b', bytes: 1 }
  await assert.rejects(keepFile(db, stale, 'artifact', file), code('ATTEMPT_STALE'))
  assert.equal((await getJob(db, id)).attempt, 2)
})

test('a job is held by one worker, which may claim it again when the answer was lost', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await claim(db, id, at(0))
  await assert.rejects(claim(db, id, at(1000), 'host-2'), code('ATTEMPT_STALE'))
  assert.equal((await claim(db, id, at(1000), worker)).attempt, 2)
  await assert.rejects(claimJob(db, id, { dispatch: 9, worker }, at(2000)), code('ATTEMPT_STALE'))
})

test('a worker that was silent but comes back before anyone else goes on', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await claim(db, id, at(0))
  const silent = at(lostAfterMs + 1)
  assert.deepEqual(await unheld(db, silent), [{ id, dispatch: 2 }])
  assert.deepEqual(await unheld(db, silent), [{ id, dispatch: 2 }])
  assert.equal(await beat(db, { id, attempt: 1 }, 0.5, silent), 'continue')
  assert.deepEqual(await unheld(db, silent), [])
  await assert.rejects(claim(db, id, silent, 'host-2'), code('ATTEMPT_STALE'))
})

test('running time adds up over attempts, and silence counts no more than its limit', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db, { limits: { seconds: 100 } })
  await claim(db, id, at(0))
  await beat(db, { id, attempt: 1 }, 0.1, at(10_000))
  assert.equal(secondsLeft(await getJob(db, id)), 90)
  const back = await claim(db, id, at(3_600_000), 'host-2')
  assert.equal(secondsLeft(back), 70)
  // What ran after the last heartbeat counts too.
  const released = { kind: 'released' } as const
  const given = await settleAttempt(db, { id, attempt: 2 }, released, at(3_605_000))
  assert.equal(secondsLeft(given), 65)
  assert.equal(secondsLeft(await queuedJob(db)), null)
})

test('a new attempt lowers neither progress nor, by it, the time that is left', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await claim(db, id, at(0))
  const minutes = (n: number): Date => at(n * 60_000)
  for (let n = 0.25; n <= 2; n += 0.25) await beat(db, { id, attempt: 1 }, n / 4, minutes(n))
  await settleAttempt(db, { id, attempt: 1 }, { kind: 'released' }, minutes(2))
  await claim(db, id, minutes(3))
  await beat(db, { id, attempt: 2 }, 0.03, minutes(3))
  const prepare = { type: 'stage', stage: 'prepare', progress: 0 } as const
  await recordEvents(db, { id, attempt: 2 }, [prepare])
  const shown = async () => {
    const { stage, progress, etaSeconds } = jobDocument(await getJob(db, id), minutes(3))
    return [stage, progress, etaSeconds]
  }
  assert.deepEqual(await shown(), ['prepare', 0.5, 120])
  const train = { type: 'stage', stage: 'train', progress: 0.75 } as const
  await recordEvents(db, { id, attempt: 2 }, [train])
  assert.deepEqual(await shown(), ['train', 0.75, 40])
})

test('a released job is dispatched anew and nothing is counted against it', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  for (let n = 1; n <= 5; n += 1) {
    assert.deepEqual(await unheld(db), [{ id, dispatch: n }])
    const { attempt } = await claim(db, id)
    const job = await settleAttempt(db, { id, attempt }, { kind: 'released' })
    assert.deepEqual([job.state, job.crashes, job.worker], ['queued', 0, null])
  }
})

test('cancelJob() ends a queued job at once and a running one with its worker', async (t) => {
  const db = await temporaryCatalog(t)
  const queued = await queuedJob(db)
  assert.equal((await cancelJob(db, queued.id)).state, 'cancelled')
  assert.equal((await cancelJob(db, queued.id)).state, 'cancelled')
  const { id } = await queuedJob(db)
  const { attempt } = await claim(db, id)
  assert.equal((await cancelJob(db, id)).state, 'running')
  assert.equal(await beat(db, { id, attempt }, 0.2), 'cancel')
  const completed = await storeArtifacts(db, id, attempt)
  assert.equal((await settleAttempt(db, { id, attempt }, completed)).state, 'cancelled')
  assert.deepEqual(await db.selectFrom('models').selectAll().execute(), [])
})

test('cancelJob() ends a job whose worker is gone, now or at reconciliation', async (t) => {
  const db = await temporaryCatalog(t)
  const lost = await queuedJob(db)
  await claim(db, lost.id, at(0))
  const later = at(lostAfterMs + 1)
  assert.equal((await cancelJob(db, lost.id, later)).state, 'cancelled')
  const dying = await queuedJob(db)
  await claim(db, dying.id, at(0))
  await cancelJob(db, dying.id, at(1))
  assert.deepEqual(await unheld(db, later), [])
  assert.equal((await getJob(db, dying.id)).state, 'cancelled')
})

test('stopJob() orders a stop, and is refused once the job has ended otherwise', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await stopJob(db, id)
  const { attempt } = await claim(db, id)
  assert.equal(await beat(db, { id, attempt }, 0.2), 'stop')
  const outcome = { ...(await storeArtifacts(db, id, attempt)), stopReason: 'stopped' }
  await settleAttempt(db, { id, attempt }, outcome)
  assert.equal((await stopJob(db, id)).state, 'completed')
  await assert.rejects(cancelJob(db, id), code('JOB_ENDED'))
  const other = await queuedJob(db)
  await cancelJob(db, other.id)
  await assert.rejects(stopJob(db, other.id), code('JOB_ENDED'))
})

test('stopJob() may be repeated for a job that completed before it came to stop', async (t) => {
  const db = await temporaryCatalog(t)
  const ended = async (isAsked: boolean, asWhat: 'completed' | 'failed') => {
    const { id } = await queuedJob(db)
    const { attempt } = await claim(db, id)
    const completed = await storeArtifacts(db, id, attempt)
    if (isAsked) await stopJob(db, id)
    const failed = { kind: 'failed', code: 'TRAINING_DIVERGED', detail: '' } as const
    await settleAttempt(db, { id, attempt }, asWhat === 'completed' ? completed : failed)
    return id
  }
  const job = await stopJob(db, await ended(true, 'completed'))
  assert.deepEqual([job.state, job.stop_reason], ['completed', null])
  await assert.rejects(stopJob(db, await ended(false, 'completed')), code('JOB_ENDED'))
  await assert.rejects(stopJob(db, await ended(true, 'failed')), code('JOB_ENDED'))
})

test('an epoch that is run again replaces its row: no gap and no double', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await claim(db, id, at(0))
  const report = (attempt: number, rows: readonly Metric[]) =>
    recordEvents(
      db,
      { id, attempt },
      rows.map((m) => ({ type: 'metric', metric: m }))
    )
  await report(1, [metric(1, 1), metric(2, 2), metric(3, 3)])
  await claim(db, id, at(lostAfterMs + 1))
  await report(2, [metric(3, 30), metric(4, 40)])
  const rows = await jobMetrics(db, id)
  assert.deepEqual(
    rows.map(({ epoch, loss }) => [epoch, loss]),
    [
      [1, 1],
      [2, 2],
      [3, 30],
      [4, 40]
    ]
  )
})

test('listJobs() pages through jobs, newest first, and filters by state', async (t) => {
  const db = await temporaryCatalog(t)
  const ids: string[] = []
  for (let i = 0; i < 5; i += 1) ids.unshift((await queuedJob(db)).id)
  const first = await listJobs(db, { limit: 3 })
  assert.deepEqual(
    first.rows.map(({ id }) => id),
    ids.slice(0, 3)
  )
  const second = await listJobs(db, { limit: 3, cursor: first.next ?? '' })
  assert.deepEqual(
    second.rows.map(({ id }) => id),
    ids.slice(3)
  )
  assert.equal(second.next, null)
  await cancelJob(db, ids[1] as string)
  const cancelled = await listJobs(db, { limit: 3, state: 'cancelled' })
  assert.deepEqual(
    cancelled.rows.map(({ id }) => id),
    [ids[1]]
  )
})

test('deleteJob() removes an ended job with all it reported, and only then', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const { attempt } = await claim(db, id)
  await recordEvents(db, { id, attempt }, [{ type: 'metric', metric: metric(1, 1) }])
  await assert.rejects(deleteJob(db, id), code('JOB_NOT_ENDED'))
  await settleAttempt(
    db,
    { id, attempt },
    { kind: 'failed', code: 'TRAINING_DIVERGED', detail: '' }
  )
  assert.equal(JSON.parse((await getJob(db, id)).error ?? '').code, 'TRAINING_DIVERGED')
  await deleteJob(db, id)
  await assert.rejects(getJob(db, id), code('JOB_NOT_FOUND'))
  assert.deepEqual(await db.selectFrom('job_metrics').selectAll().execute(), [])
})
