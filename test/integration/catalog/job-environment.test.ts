import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimJob, recordEvents } from '../../../src/catalog/job-attempts.ts'
import { jobDocument } from '../../../src/catalog/job-document.ts'
import { decisionsOf, environmentOf } from '../../../src/catalog/job-environment.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { getJob, jobLogs } from '../../../src/catalog/jobs.ts'
import type { Catalog } from '../../../src/catalog/open.ts'
import type { Environment } from '../../../src/contract/job.ts'
import { ServiceError } from '../../../src/errors.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

const environment: Environment = {
  engine: 'tensorflow',
  version: 'tensorflow 2.21.0',
  cpu: 'GenuineIntel: avx2',
  threads: 2
}

/** Claims the job's next attempt, which computes there, and releases it. */
async function attemptIn(db: Catalog, id: string, where: Environment): Promise<void> {
  const { dispatch } = await getJob(db, id)
  const { attempt } = await claimJob(db, id, { dispatch, worker: 'host-1' })
  await recordEvents(db, { id, attempt }, [{ type: 'environment', environment: where }])
  await settleAttempt(db, { id, attempt }, { kind: 'released' })
}

const exact = async (db: Catalog, id: string) => jobDocument(await getJob(db, id)).bitExact

test('a job is exact as long as all attempts compute where the first did, and never again', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  assert.equal(await exact(db, id), null)
  await attemptIn(db, id, environment)
  await attemptIn(db, id, environment)
  assert.equal(await exact(db, id), true)
  assert.deepEqual(await jobLogs(db, id, 0, 10), [])
  await attemptIn(db, id, { ...environment, cpu: 'AuthenticAMD: avx2', threads: 4 })
  assert.equal(await exact(db, id), false)
  const [line] = await jobLogs(db, id, 0, 10)
  assert.match(
    line?.message ?? '',
    /cpu was GenuineIntel: avx2 and is AuthenticAMD: avx2; threads was 2 and is 4$/
  )
  await attemptIn(db, id, environment)
  assert.equal(await exact(db, id), false)
  assert.deepEqual(environmentOf(await getJob(db, id)), environment)
})

test('each part of the environment counts', async (t) => {
  const db = await temporaryCatalog(t)
  const changes = [{ engine: 'wasm' }, { version: '2.22.0' }, { cpu: 'other' }, { threads: 1 }]
  for (const change of changes) {
    const { id } = await queuedJob(db)
    await attemptIn(db, id, environment)
    await attemptIn(db, id, { ...environment, ...change })
    assert.equal(await exact(db, id), false, JSON.stringify(change))
  }
})

test('a decision is kept once a stage, and none of a superseded attempt', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const first = await claimJob(db, id, { dispatch: 1, worker: 'host-1' })
  const stop = { stage: 'train', reason: 'limit', updates: 40 } as const
  const event = { type: 'decision', decision: stop } as const
  for (let time = 0; time < 2; time += 1) {
    await recordEvents(db, { id, attempt: first.attempt }, [event])
  }
  const skip = { stage: 'prune', reason: 'stopped', updates: 0 } as const
  await recordEvents(db, { id, attempt: first.attempt }, [{ type: 'decision', decision: skip }])
  assert.deepEqual(decisionsOf(await getJob(db, id)), [stop, skip])
  await settleAttempt(db, { id, attempt: first.attempt }, { kind: 'released' })
  await claimJob(db, id, { dispatch: 2, worker: 'host-2' })
  const late = { ...event, decision: { ...stop, stage: 'evaluate' } } as const
  await assert.rejects(
    recordEvents(db, { id, attempt: first.attempt }, [late]),
    (error) => error instanceof ServiceError && error.code === 'ATTEMPT_STALE'
  )
  assert.equal(decisionsOf(await getJob(db, id)).length, 2)
})
