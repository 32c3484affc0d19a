/**
 * What counts as a crash: a trainer that ended unasked, in an attempt without a checkpoint. Three in a row
 * fail the job; a checkpoint ends the row, and nothing else does.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { claimJob, recordEvents } from '../../../src/catalog/job-attempts.ts'
import { findLost } from '../../../src/catalog/job-dispatch.ts'
import { keepFile } from '../../../src/catalog/job-files.ts'
import { lostAfterMs } from '../../../src/catalog/job-lease.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { getJob } from '../../../src/catalog/jobs.ts'
import type { Outcome } from '../../../src/contract/internal.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

const crashed = (progressed: boolean): Outcome => ({
  kind: 'crashed',
  cause: 'signal',
  exitCode: null,
  signal: 'SIGKILL',
  progressed,
  detail: 'out of memory'
})
const released: Outcome = { kind: 'released' }
const silence = 'silence'

interface Attempt {
  /** @default false */
  readonly stores?: boolean
  readonly ends: Outcome | typeof silence
}

/** A job whose attempts end one after the other as told. */
async function attempts(t: TestContext) {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  let now = 1_800_000_000_000
  /** State and crashes of the job after it. */
  const run = async ({ stores = false, ends }: Attempt): Promise<[string, number]> => {
    const { dispatch } = await getJob(db, id)
    const { attempt } = await claimJob(db, id, { dispatch, worker: 'w' }, new Date(now))
    const at = new Date(now).toISOString()
    const log = { type: 'log', at, level: 'info', message: `try ${attempt}` } as const
    await recordEvents(db, { id, attempt }, [log])
    const file = { name: `c${attempt}`, sha256: `s${attempt}`, bytes: 1 }
    if (stores) await keepFile(db, { id, attempt }, 'checkpoint', file)
    now += lostAfterMs + 1
    if (ends === silence) assert.equal((await findLost(db, new Date(now))).length, 1)
    else await settleAttempt(db, { id, attempt }, ends, new Date(now))
    const { state, crashes } = await getJob(db, id)
    return [state, crashes]
  }
  return { run, error: async () => JSON.parse((await getJob(db, id)).error ?? '') }
}

test('three crashes without a checkpoint fail a job; progress forgives them', async (t) => {
  const { run, error } = await attempts(t)
  const crash = (stores = false) => run({ stores, ends: crashed(stores) })
  assert.deepEqual([await crash(), await crash()].flat(), ['queued', 1, 'queued', 2])
  assert.deepEqual(await crash(true), ['queued', 0])
  assert.deepEqual([await crash(), await crash()].flat(), ['queued', 1, 'queued', 2])
  assert.deepEqual(await crash(), ['failed', 3])
  const { code, detail } = await error()
  assert.equal(code, 'JOB_CRASHED')
  assert.match(detail, /signal SIGKILL: out of memory[\s\S]*try 6/)
})

for (const [how, ends, state] of [
  ['lost', silence, 'running'],
  ['released', released, 'queued']
] as const) {
  test(`an attempt that is ${how} is no crash, and breaks no row of crashes`, async (t) => {
    const { run } = await attempts(t)
    for (const _ of [1, 2]) await run({ ends: crashed(false) })
    assert.deepEqual(await run({ ends }), [state, 2])
    assert.deepEqual(await run({ ends }), [state, 2])
    assert.deepEqual(await run({ ends: crashed(false) }), ['failed', 3])
  })

  test(`an attempt that stored a checkpoint before it was ${how} breaks the row`, async (t) => {
    const { run } = await attempts(t)
    for (const _ of [1, 2]) await run({ ends: crashed(false) })
    assert.deepEqual(await run({ stores: true, ends }), [state, 0])
    assert.deepEqual(await run({ ends: crashed(false) }), ['queued', 1])
    assert.deepEqual(await run({ ends: crashed(false) }), ['queued', 2])
    assert.deepEqual(await run({ ends: crashed(false) }), ['failed', 3])
  })
}
