import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Kysely, sql } from 'kysely'
import { claimJob, recordEvents } from '../../../src/catalog/job-attempts.ts'
import { jobEvents, newEvents, newestEvent, stageSeconds } from '../../../src/catalog/job-events.ts'
import { jobMetrics } from '../../../src/catalog/jobs.ts'
import * as datasets from '../../../src/catalog/migration/0001-datasets.ts'
import * as jobs from '../../../src/catalog/migration/0002-jobs.ts'
import * as models from '../../../src/catalog/migration/0003-models.ts'
import { openNodeSqlite } from '../../../src/catalog/node-sqlite.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import type { Metric } from '../../../src/contract/job.ts'
import { queuedJob, temporaryCatalog, temporaryFolder, writeLog } from '../../support/catalog.ts'
import { metric } from '../../support/metric.ts'

const all = (db: Catalog, id: string) => jobEvents(db, { id, after: 0, limit: 100_000 })

async function claimed(db: Catalog) {
  const { id } = await queuedJob(db)
  const { attempt } = await claimJob(db, id, { dispatch: 1, worker: 'host-1' })
  const report = (...metrics: readonly Metric[]) =>
    recordEvents(
      db,
      { id, attempt },
      metrics.map((one) => ({ type: 'metric', metric: one }))
    )
  return { id, report }
}

test('an epoch that is run again with the same numbers is told once, under its first row', async (t) => {
  const db = await temporaryCatalog(t)
  const { id, report } = await claimed(db)
  await report(metric(1), metric(2))
  const before = await all(db, id)
  const later = { at: '2026-02-02T00:00:00Z', imagesPerSecond: 7 }
  await report(metric(1, later), metric(2, later))
  assert.deepEqual(await all(db, id), before)
  assert.deepEqual(await jobMetrics(db, id), [metric(1), metric(2)])
})

test('an epoch with any other number takes the place of the first, as a new event', async (t) => {
  const db = await temporaryCatalog(t)
  const changes: readonly Partial<Metric>[] = [
    { loss: 0.9 },
    { accuracy: 0.6 },
    { validation: { loss: 2, accuracy: 0.5 } },
    { validation: { loss: 1, accuracy: 0.7 } },
    { learningRate: 0.2 }
  ]
  for (const change of changes) {
    const { id, report } = await claimed(db)
    await report(metric(1), metric(2))
    const seen = (await all(db, id)).at(-1)?.seq ?? 0
    await report(metric(1, change))
    const news = await jobEvents(db, { id, after: seen, limit: 10 })
    assert.deepEqual(
      news.map(({ data }) => data),
      [metric(1, change)]
    )
    assert.deepEqual(await jobMetrics(db, id), [metric(1, change), metric(2)])
    const told = (await all(db, id)).filter(({ type }) => type === 'metric')
    assert.deepEqual(
      told.map(({ data }) => (data as Metric).epoch),
      [2, 1]
    )
  }
})

test('of a long log the first and the newest lines are kept, each with its event', async (t) => {
  const db = await temporaryCatalog(t)
  const [{ id }, other] = [await queuedJob(db), await queuedJob(db)]
  await writeLog(db, { id: other.id, lines: 5, message: 'other' })
  await writeLog(db, { id, lines: 11_000, message: 'line' })
  const messages = async (job: string) =>
    (
      await db
        .selectFrom('job_logs')
        .select('message')
        .where('job_id', '=', job)
        .orderBy('seq')
        .execute()
    ).map(({ message }) => Number(message.split(' ')[1]))
  const range = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
  assert.deepEqual(await messages(id), range(1, 11_000))
  await writeLog(db, { id, lines: 25, message: 'later' })
  assert.deepEqual(await messages(id), [...range(1, 1000), ...range(1026, 11_000), ...range(1, 25)])
  assert.deepEqual(await messages(other.id), range(1, 5))
  const events = (await all(db, id)).filter(({ type }) => type === 'log')
  assert.equal(events.length, 11_000)
  assert.ok(events.every(({ data }) => typeof (data as { message?: unknown }).message === 'string'))
})

test('a line costs no count: the cap finds what to drop by an index', async (t) => {
  const db = await temporaryCatalog(t)
  const plan = await sql<{ detail: string }>`explain query plan
    select seq from job_logs where job_id = 'a' and n > 1000 and n <= 5000`.execute(db)
  assert.deepEqual(
    plan.rows.map(({ detail }) => detail),
    ['SEARCH job_logs USING COVERING INDEX job_log_by_place (job_id=? AND n>? AND n<?)']
  )
})

test('newEvents() names the jobs with new rows, and says when some are gone again', async (t) => {
  const db = await temporaryCatalog(t)
  const start = await newestEvent(db)
  const { id, report } = await claimed(db)
  const { id: other } = await claimed(db)
  const found = await newEvents(db, start)
  assert.deepEqual([found.jobs.toSorted(), found.isIncomplete], [[id, other].toSorted(), false])
  assert.deepEqual(await newEvents(db, found.newest), {
    newest: found.newest,
    jobs: [],
    isIncomplete: false
  })
  await report(metric(1))
  await db.deleteFrom('jobs').where('id', '=', id).execute()
  const gone = await newEvents(db, found.newest)
  assert.deepEqual([gone.jobs, gone.isIncomplete, gone.newest], [[], true, found.newest + 1])
})

test('stageSeconds() adds up the stages of all attempts without the waits between them', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await db.deleteFrom('job_events').execute()
  const row = (second: number, data: object) => ({
    job_id: id,
    at: new Date(1_800_000_000_000 + second * 1000).toISOString(),
    type: 'stage' in data ? ('stage' as const) : ('state' as const),
    data: JSON.stringify(data),
    ref: null
  })
  const rows = [
    row(0, { state: 'queued' }),
    row(10, { state: 'running' }),
    row(11, { stage: 'prepare', progress: 0 }),
    row(14, { stage: 'train', progress: 0.1 }),
    row(20, { state: 'queued' }),
    row(100, { state: 'running' }),
    row(107, { stage: 'evaluate', progress: 0.9 }),
    row(109, { state: 'completed' })
  ]
  await db.insertInto('job_events').values(rows).execute()
  assert.deepEqual(Object.fromEntries(await stageSeconds(db, id)), {
    prepare: 3,
    train: 13,
    evaluate: 2
  })
})

test('jobs from before there was a history get one', async (t) => {
  const file = join(await temporaryFolder(t), 'catalog.sqlite')
  const old = new Kysely<jobs.JobTables>(openNodeSqlite(file))
  for (const { up } of [datasets, jobs, models]) await up(old as unknown as Kysely<never>)
  await old.insertInto('jobs').values(oldJob).execute()
  const row = { job_id: 'job_1', stage: 'train', epoch: 1, attempt: 1 } as const
  await old
    .insertInto('job_metrics')
    .values({ ...row, metric: JSON.stringify(metric(1)) })
    .execute()
  const line = { at: '2026-01-01T00:00:00Z', level: 'info' } as const
  for (const message of ['one', 'two']) {
    await old
      .insertInto('job_logs')
      .values({ job_id: 'job_1', ...line, message })
      .execute()
  }
  await sql`pragma user_version = 3`.execute(old)
  await old.destroy()
  const db = await openCatalog(file)
  t.after(() => db.destroy())
  assert.deepEqual(
    (await all(db, 'job_1')).map(({ data }) => data),
    [
      { state: 'completed', attempt: 2, stopReason: 'stopped', at: '2026-01-01T00:00:00Z' },
      metric(1),
      { ...line, message: 'one' },
      { ...line, message: 'two' }
    ]
  )
  await writeLog(db, { id: 'job_1', lines: 1, message: 'three' })
  const places = await db.selectFrom('job_logs').select('n').orderBy('seq').execute()
  assert.deepEqual(
    places.map(({ n }) => n),
    [1, 2, 3]
  )
})

const oldJob = {
  id: 'job_1',
  kind: 'train',
  parent: null,
  state: 'completed',
  stage: 'publish',
  progress: 1,
  attempt: 2,
  dispatch: 1,
  claimed_dispatch: 1,
  crashes: 0,
  order: 'continue',
  worker: null,
  heartbeat_at: null,
  ran_ms: 5,
  dataset_id: 'ds_1',
  dataset_name: 'digits',
  dataset_version: 1,
  dataset_hash: 'f00d',
  model: 'digits',
  alias: null,
  seed: 7,
  spec: '{}',
  recipe: '{}',
  reasons: '{}',
  limits: null,
  stop_reason: 'stopped',
  error: null,
  result: '{}',
  created_at: '2026-01-01T00:00:00Z',
  started_at: null,
  finished_at: null
} as const
