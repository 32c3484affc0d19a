import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Fastify from 'fastify'
import Value from 'typebox/value'
import { claimJob, recordEvents } from '../../../src/catalog/job-attempts.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { cancelJob, deleteJob } from '../../../src/catalog/jobs.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import type { JobEvent } from '../../../src/contract/internal.ts'
import { Job } from '../../../src/contract/job.ts'
import type { Problem } from '../../../src/contract/problem.ts'
import { problems } from '../../../src/http/plugins/problem.ts'
import { type JobEventRoutesOptions, jobEventRoutes } from '../../../src/http/routes/job-events.ts'
import { validatorCompiler } from '../../../src/http/validation.ts'
import { JobFeed, type JobFeedOptions } from '../../../src/service/job-feed.ts'
import { apiApp, quiet } from '../../support/api-app.ts'
import { queuedJob, temporaryCatalog, temporaryFolder, writeLog } from '../../support/catalog.ts'
import { openEvents, type ReceivedEvent } from '../../support/event-reader.ts'
import { metric } from '../../support/metric.ts'
import { until } from '../../support/until.ts'

type Choices = Partial<JobFeedOptions> & Omit<Partial<JobEventRoutesOptions>, 'feed'>

/** The events route alone, on a real socket. */
async function serve(t: TestContext, db: Catalog, choices: Choices = {}) {
  const feed = new JobFeed({ db, log: quiet(), lookEveryMs: 10, ...choices })
  const app = Fastify()
  app.setValidatorCompiler(validatorCompiler)
  problems(app)
  app.register(jobEventRoutes, { ...choices, db, feed, prefix: '/v1/jobs' })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.after(() => app.close())
  return { app, feed, address: (id: string) => `${url}/v1/jobs/${id}/events` }
}

const log = (message: string): JobEvent => ({
  type: 'log',
  at: '2026-01-01T00:00:01Z',
  level: 'info',
  message
})

const failed = { kind: 'failed', code: 'TRAINING_DIVERGED', detail: 'the loss is NaN' } as const

const claim = async (db: Catalog, id: string): Promise<{ id: string; attempt: number }> => {
  const { attempt } = await claimJob(db, id, { dispatch: 1, worker: 'host-1' })
  return { id, attempt }
}

const problemOf = async (answer: Response) => (await answer.json()) as Problem

const kinds = (events: readonly ReceivedEvent[]) => events.map(({ event }) => event)

/** A job that has been through everything, and another one whose rows lie in between. */
async function endedJob(db: Catalog): Promise<string> {
  const { id } = await queuedJob(db)
  const attempt = await claim(db, id)
  const other = await claim(db, (await queuedJob(db)).id)
  for (let epoch = 1; epoch <= 40; epoch += 1) {
    await recordEvents(db, attempt, [{ type: 'metric', metric: metric(epoch) }])
    await recordEvents(db, other, [log(`other ${epoch}`)])
    await recordEvents(db, attempt, [log(`line ${epoch}`), log('two\nlines')])
  }
  await settleAttempt(db, attempt, failed)
  return id
}

test('a follower is told of a job as it happens, under the rows as ids, and of its end', async (t) => {
  const db = await temporaryCatalog(t)
  const { address } = await serve(t, db)
  const { id } = await queuedJob(db)
  const reader = await openEvents(t, address(id))
  assert.equal(reader.answer.headers.get('content-type'), 'text/event-stream')
  assert.equal(reader.answer.headers.get('cache-control'), 'no-store')
  assert.equal(reader.answer.headers.get('x-accel-buffering'), 'no')
  const queued = await reader.next()
  assert.equal(queued?.event, 'state')
  assert.deepEqual(
    { ...queued?.data, at: '' },
    { state: 'queued', attempt: 0, stopReason: null, at: '' }
  )
  const attempt = await claim(db, id)
  const running = await reader.next()
  assert.deepEqual([running?.data.state, running?.data.attempt], ['running', 1])
  await recordEvents(db, attempt, [{ type: 'stage', stage: 'train', progress: 0.25 }])
  const stage = await reader.next()
  assert.deepEqual(
    [stage?.event, stage?.data.stage, stage?.data.progress],
    ['stage', 'train', 0.25]
  )
  await recordEvents(db, attempt, [{ type: 'metric', metric: metric(1) }, log('über\n🙂')])
  assert.deepEqual((await reader.next())?.data, metric(1))
  const line = { at: '2026-01-01T00:00:01Z', level: 'info', message: 'über\n🙂' }
  assert.deepEqual((await reader.next())?.data, line)
  await settleAttempt(db, attempt, failed)
  const [ended, end, ...more] = await reader.rest()
  assert.deepEqual([ended?.event, ended?.data.state, more.length], ['state', 'failed', 0])
  assert.deepEqual([end?.event, end?.id], ['end', null])
  assert.ok(Value.Check(Job, end?.data), JSON.stringify(end))
  assert.deepEqual([end?.data.state, end?.data.error?.code], ['failed', 'TRAINING_DIVERGED'])
  const rows = await db.selectFrom('job_events').select('seq').orderBy('seq').execute()
  const seen = [queued, running, stage, ended].map((event) => event?.id)
  assert.deepEqual(seen, [rows[0]?.seq, rows[1]?.seq, rows[2]?.seq, rows.at(-1)?.seq])
})

test('all followers get the same ids, and resuming after any of them loses and doubles nothing', async (t) => {
  const db = await temporaryCatalog(t)
  const { address } = await serve(t, db)
  const id = await endedJob(db)
  const [one, two] = await Promise.all([openEvents(t, address(id)), openEvents(t, address(id))])
  const whole = await one.rest()
  assert.deepEqual(await two.rest(), whole)
  // Two states, 40 epochs with two lines each, the end of the attempt and of the answer.
  assert.equal(whole.length, 124)
  assert.equal(whole.at(-1)?.event, 'end')
  for (const at of [0, 1, 17, 49, 50, 51, 122]) {
    const rest = await openEvents(t, address(id), { lastEventId: whole[at]?.id ?? 0 })
    assert.deepEqual(await rest.rest(), whole.slice(at + 1), `after event ${at}`)
  }
})

test('an id of another job or of the future is a number like any other', async (t) => {
  const db = await temporaryCatalog(t)
  const { address } = await serve(t, db)
  const whole = await (await openEvents(t, address(await endedJob(db)))).rest()
  const { id } = await queuedJob(db)
  const between = await openEvents(t, address(id), { lastEventId: whole[5]?.id ?? 0 })
  assert.equal((await between.next())?.data.state, 'queued')
  const future = await openEvents(t, address(id), { lastEventId: 999_999_999_999_999 })
  await cancelJob(db, id)
  assert.deepEqual(kinds(await future.rest()), ['end'])
  assert.deepEqual(kinds(await between.rest()), ['state', 'end'])
})

test('an api that is started again goes on with the same ids', async (t) => {
  const file = join(await temporaryFolder(t), 'catalog.sqlite')
  const before = await openCatalog(file)
  const first = await serve(t, before)
  const { id } = await queuedJob(before)
  const attempt = await claim(before, id)
  await recordEvents(before, attempt, [log('one'), log('two')])
  const reader = await openEvents(t, first.address(id))
  const seen = await reader.until(({ data }) => data.message === 'two')
  await recordEvents(before, attempt, [log('three')])
  const rest = reader.rest()
  await first.app.close()
  seen.push(...(await rest))
  assert.ok(!kinds(seen).includes('end'), 'the answer ends with the api, the job does not')
  await before.destroy()

  const after = await openCatalog(file)
  t.after(() => after.destroy())
  const second = await serve(t, after)
  const resumed = await openEvents(t, second.address(id), { lastEventId: seen.at(-1)?.id ?? 0 })
  await settleAttempt(after, attempt, failed)
  seen.push(...(await resumed.rest()))
  assert.deepEqual(seen, await (await openEvents(t, second.address(id))).rest())
  assert.deepEqual(kinds(seen), ['state', 'state', 'log', 'log', 'log', 'state', 'end'])
})

test('comments keep an answer open for longer than a silence may last', async (t) => {
  const db = await temporaryCatalog(t)
  const { address } = await serve(t, db, { commentEveryMs: 10, stallMs: 400 })
  const { id } = await queuedJob(db)
  const reader = await openEvents(t, address(id))
  await reader.next()
  const rest = reader.rest()
  await until(() => reader.comments() > 60)
  await cancelJob(db, id)
  assert.deepEqual(kinds(await rest), ['state', 'end'])
})

test('a reader that takes nothing holds two pages at most, is cut off, and can resume', async (t) => {
  const db = await temporaryCatalog(t)
  const { app, feed, address } = await serve(t, db, { stallMs: 300 })
  const { id } = await queuedJob(db)
  const lines = 3000
  await writeLog(db, { id, lines, message: 'x'.repeat(10_000) })
  let held: number | undefined
  app.server.once('connection', (socket: Socket) => {
    socket.prependOnceListener('timeout', () => {
      held = socket.writableLength
    })
  })
  const slow = await openEvents(t, address(id))
  const taken = await slow.until(({ id: seq }) => seq === 100)
  await until(() => held !== undefined && feed.followers === 0)
  assert.ok(held !== undefined && held > 0 && held < 2_000_000, `${held} bytes were held`)
  const rest = await openEvents(t, address(id), { lastEventId: 100 })
  await cancelJob(db, id)
  assert.equal(taken.length + (await rest.rest()).length, 1 + lines + 2)
})

test('an api that ends waits neither for idle readers nor for one that takes nothing', async (t) => {
  const db = await temporaryCatalog(t)
  const { app, address } = await serve(t, db)
  const { id } = await queuedJob(db)
  await writeLog(db, { id, lines: 3000, message: 'x'.repeat(10_000) })
  const idle = await openEvents(t, address((await queuedJob(db)).id))
  assert.equal((await idle.next())?.event, 'state')
  const slow = await openEvents(t, address(id))
  assert.equal((await slow.next())?.event, 'state')
  await app.close()
  assert.equal(await idle.next(), null)
})

test('followers are limited, and one that goes away makes room', async (t) => {
  const db = await temporaryCatalog(t)
  const { feed, address } = await serve(t, db, { mostFollowers: 1 })
  const { id } = await queuedJob(db)
  const first = await openEvents(t, address(id))
  await first.next()
  assert.equal(feed.followers, 1)
  const refused = await fetch(address(id))
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '5'])
  assert.equal((await problemOf(refused)).code, 'FOLLOWERS_FULL')
  first.close()
  await until(() => feed.followers === 0)
  const third = await openEvents(t, address(id))
  assert.equal((await third.next())?.event, 'state')
})

test('the answer ends when the job is deleted, however soon after its end', async (t) => {
  const db = await temporaryCatalog(t)
  const { address } = await serve(t, db)
  const { id } = await queuedJob(db)
  const reader = await openEvents(t, address(id))
  await reader.next()
  await db.transaction().execute(async (trx) => {
    await trx.updateTable('jobs').set({ state: 'cancelled', stop_reason: 'cancelled' }).execute()
    await trx.deleteFrom('jobs').execute()
  })
  assert.deepEqual(await reader.rest(), [])
  await assert.rejects(deleteJob(db, id))
})

test('GET /v1/jobs/{id}/events refuses what is not there, and ids that are none; HEAD has no body', async (t) => {
  const { app, db } = await apiApp(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const { id } = await queuedJob(db)
  const address = `${url}/v1/jobs/${id}/events`
  const missing = await fetch(`${url}/v1/jobs/job_x/events`)
  assert.deepEqual([missing.status, (await problemOf(missing)).code], [404, 'JOB_NOT_FOUND'])
  for (const given of ['abc', '-1', '1.5', '', '9999999999999999']) {
    const answer = await fetch(address, { headers: { 'last-event-id': given } })
    const problem = await problemOf(answer)
    assert.deepEqual([answer.status, problem.code], [422, 'REQUEST_INVALID'], given)
    assert.equal(problem.errors?.[0]?.pointer, '/last-event-id')
  }
  const head = await fetch(address, { method: 'HEAD' })
  assert.deepEqual([head.status, head.headers.get('content-type')], [200, 'text/event-stream'])
  assert.equal((await fetch(`${url}/v1/jobs/job_x/events`, { method: 'HEAD' })).status, 404)
  assert.equal((await fetch(address, { method: 'POST' })).status, 405)
  const reader = await openEvents(t, address)
  assert.equal((await reader.next())?.data.state, 'queued')
  await app.close()
  assert.equal(await reader.next(), null)
})

test('the log says in a line what was left out of it', async (t) => {
  const { app, db } = await apiApp(t)
  const { id } = await queuedJob(db)
  await writeLog(db, { id, lines: 11_025, message: 'line' })
  const lines = (await app.inject(`/v1/jobs/${id}/logs`)).body.trimEnd().split('\n')
  assert.equal(lines.length, 11_001)
  assert.match(lines[999] ?? '', /info line 1000$/)
  assert.match(lines[1000] ?? '', /warn 25 lines left out here: .* first 1000 and the newest 10000/)
  assert.match(lines[1001] ?? '', /info line 1026$/)
})
