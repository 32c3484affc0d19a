import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { crashCauses } from '../../../src/contract/internal.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { brightClassifier, brightLabels, brightNetwork } from '../../support/bright-classifier.ts'
import { openEvents } from '../../support/event-reader.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { flatImage } from '../../support/images.ts'
import { modelServer } from '../../support/model-server.ts'
import { type Family, readMetrics } from '../../support/prometheus.ts'
import { publication } from '../../support/publication.ts'
import { until } from '../../support/until.ts'

async function scrape(app: FastifyInstance): Promise<Map<string, Family>> {
  const answer = await app.inject('/metrics')
  assert.equal(answer.statusCode, 200)
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  return readMetrics(answer.body)
}

/** The value of a sample, such as `whittle_jobs{kind="train",state="queued"}`; undefined without one. */
const value = (families: Map<string, Family>, key: string): number | undefined => {
  const name = key.replace(/\{.*/, '')
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''))
  return family?.samples.get(key.includes('{') ? key : `${key}{}`)
}

const jobs = (families: Map<string, Family>) =>
  ['queued', 'running', 'completed', 'failed', 'cancelled'].map((state) =>
    value(families, `whittle_jobs{kind="train",state="${state}"}`)
  )

async function postJob({ app }: ApiApp): Promise<string> {
  const payload = { dataset: 'digits', model: 'digits' }
  const answer = await app.inject({ method: 'POST', url: '/v1/jobs', payload })
  assert.equal(answer.statusCode, 202, answer.body)
  return answer.json().id
}

async function listening(t: TestContext) {
  const api = await apiApp(t)
  return { api, url: await api.app.listen({ port: 0, host: '127.0.0.1' }) }
}

test('GET /metrics tells of a service to which nothing has happened in zeros', async (t) => {
  const { app } = await apiApp(t)
  const families = await scrape(app)
  assert.deepEqual(jobs(families), [0, 0, 0, 0, 0])
  for (const cause of crashCauses) {
    assert.equal(value(families, `whittle_job_crashes_total{cause="${cause}"}`), 0)
  }
  for (const name of ['queue_jobs', 'queue_oldest_seconds', 'job_attempts_total', 'workers']) {
    assert.equal(value(families, `whittle_${name}`), 0, name)
  }
  assert.equal(value(families, 'whittle_redis_ready'), 1)
  assert.equal(value(families, 'whittle_checkpoint_duration_seconds_count'), 0)
  assert.ok((value(families, 'whittle_process_resident_memory_bytes') ?? 0) > 1e6)
  assert.ok(value(families, 'whittle_nodejs_eventloop_lag_p99_seconds') !== undefined)
  // A look that comes at once after another one finds nothing to be measured.
  await scrape(app)
})

test('jobs, attempts, crashes, checkpoints and stages move the metrics', async (t) => {
  const { api, url } = await listening(t)
  await readyDataset(api)
  const worker = fakeWorker(api.app)
  await worker.announce()
  const [crashing, failing] = [await postJob(api), await postJob(api)]
  assert.equal(value(await scrape(api.app), 'whittle_queue_jobs'), 2)
  await worker.claim(crashing, 1)
  await worker.claim(failing, 1)
  await worker.event(failing, 1, { type: 'stage', stage: 'prepare', progress: 0 })
  await worker.event(failing, 1, { type: 'stage', stage: 'train', progress: 0.1 })
  // The answer was lost, so it comes again.
  for (let i = 0; i < 2; i += 1) {
    await worker.event(failing, 1, { type: 'checkpoint', seconds: 0.2, bytes: 3_000_000 }, 3)
  }
  const stale = { type: 'checkpoint', seconds: 9, bytes: 9 } as const
  assert.equal((await worker.event(failing, 9, stale)).status, 409)
  const reader = await openEvents(t, `${url}/v1/jobs/${failing}/events`)
  await reader.next()
  const crash = {
    kind: 'crashed',
    cause: 'memory',
    exitCode: null,
    signal: 'SIGKILL',
    progressed: false,
    detail: ''
  } as const
  await worker.outcome(crashing, 1, crash)
  await worker.outcome(crashing, 1, crash)
  const during = await scrape(api.app)
  assert.deepEqual(jobs(during), [1, 1, 0, 0, 0])
  assert.equal(value(during, 'whittle_queue_jobs'), 1)
  assert.equal(value(during, 'whittle_job_attempts_total'), 2)
  assert.equal(value(during, 'whittle_job_crashes_total{cause="memory"}'), 1)
  assert.equal(value(during, 'whittle_job_attempt_ends_total{outcome="crashed"}'), 1)
  assert.equal(value(during, 'whittle_checkpoint_duration_seconds_count'), 1)
  assert.equal(value(during, 'whittle_checkpoint_duration_seconds_sum'), 0.2)
  assert.equal(value(during, 'whittle_checkpoint_size_bytes_sum'), 3_000_000)
  assert.equal(value(during, 'whittle_event_followers'), 1)
  const parts = ['workers', 'worker_slots', 'worker_slots_busy', 'workers_draining']
  assert.deepEqual(
    parts.map((part) => value(during, `whittle_${part}`)),
    [1, 1, 0, 0]
  )

  await worker.outcome(failing, 1, { kind: 'failed', code: 'TRAINING_DIVERGED', detail: '' })
  await reader.rest()
  await until(async () => value(await scrape(api.app), 'whittle_event_followers') === 0)
  api.queue.away = true
  const after = await scrape(api.app)
  assert.deepEqual(jobs(after), [1, 0, 0, 1, 0])
  assert.equal(value(after, 'whittle_redis_ready'), 0)
  for (const stage of ['prepare', 'train']) {
    const count = `whittle_job_stage_duration_seconds_count{stage="${stage}"}`
    assert.equal(value(after, count), 1)
  }
})

test('the age of the queue is that of the job that waits for longest, since it waits', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const [old, again] = [await postJob(api), await postJob(api)]
  const at = (secondsAgo: number) => new Date(Date.now() - secondsAgo * 1000).toISOString()
  const date = (job: string, secondsAgo: number) =>
    api.db
      .updateTable('job_events')
      .set({ at: at(secondsAgo) })
      .where('job_id', '=', job)
      .execute()
  await date(old, 1000)
  await date(again, 100_000)
  const worker = fakeWorker(api.app)
  await worker.claim(again, 1)
  await worker.outcome(again, 1, { kind: 'released' })
  const age = value(await scrape(api.app), 'whittle_queue_oldest_seconds') ?? 0
  assert.ok(age >= 1000 && age < 10_000, String(age))
})

test('requests are counted by the pattern of their route, whatever address they ask for', async (t) => {
  const { app } = await apiApp(t)
  for (let i = 0; i < 5; i += 1) {
    await app.inject(`/v1/jobs/job_${i}?limit=${i}`)
    await app.inject(`/nothing/${i}`)
    await app.inject({ method: 'PROPFIND', url: `/nothing/${i}` })
  }
  const families = await scrape(app)
  const count = (labels: string) => value(families, `whittle_http_requests_total{${labels}}`)
  assert.equal(count('method="GET",route="/v1/jobs/:id",status="404"'), 5)
  assert.equal(count('method="GET",route="none",status="404"'), 5)
  assert.equal(count('method="other",route="none",status="404"'), 5)
  assert.equal(families.get('whittle_http_requests_total')?.samples.size, 3)
  const timed = 'whittle_http_request_duration_seconds_count{method="GET",route="/v1/jobs/:id"}'
  assert.equal(value(families, timed), 5)
})

test('deliveries that wait or were given up are counted', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const job_id = await postJob(api)
  const messages = [
    ['pending', 'completed'],
    ['failed', 'failed'],
    ['delivered', 'cancelled']
  ] as const
  for (const [state, event] of messages) {
    const message = {
      id: `msg_${event}`,
      job_id,
      event,
      url: 'https://a.example',
      host: 'a.example'
    }
    const [payload, created_at] = ['{}', '2026-01-01T00:00:00Z']
    const next_at = state === 'pending' ? '2999-01-01T00:00:00Z' : null
    const row = { ...message, payload, state, failures: 0, next_at, created_at }
    await api.db.insertInto('deliveries').values(row).execute()
  }
  const families = await scrape(api.app)
  assert.equal(value(families, 'whittle_deliveries{state="pending"}'), 1)
  assert.equal(value(families, 'whittle_deliveries{state="failed"}'), 1)
})

test('the data folder is measured by what lies in it', async (t) => {
  const api = await apiApp(t)
  await api.images.put(Buffer.alloc(100_000))
  const families = await scrape(api.app)
  const used = value(families, 'whittle_disk_used_bytes{part="images"}') ?? 0
  assert.ok(used >= 100_000 && used < 1_000_000, String(used))
  assert.equal(value(families, 'whittle_disk_used_bytes{part="files"}'), undefined)
  // Others write to the same disk.
  assert.ok((value(families, 'whittle_disk_free_bytes') ?? 0) > 0)
})

test('inference is counted by model, version and variant under the names that Triton gives it', async (t) => {
  const { app, blobs, db } = await apiApp(t)
  const stored = await blobs.put(brightClassifier())
  const network = brightNetwork
  const wanted = publication('job_1', { variants: ['int8'], labels: brightLabels, network })
  const artifacts = wanted.artifacts.map((artifact) => ({ ...artifact, ...stored }))
  await db.transaction().execute((trx) => publishVersion(trx, { ...wanted, artifacts }))
  const data = Array(3 * 64).fill(0)
  const inputs = [{ name: 'images', datatype: 'UINT8', shape: [3, 8, 8, 1], data }]
  for (const url of ['/v2/models/digits/infer', '/v2/models/digits@int8/versions/1/infer']) {
    const answer = await app.inject({ method: 'POST', url, payload: { inputs } })
    assert.equal(answer.statusCode, 200, answer.body)
  }
  const families = await scrape(app)
  const counted = (name: string) =>
    value(families, `nv_inference_${name}{model="digits",version="1",variant="int8"}`) ?? -1
  assert.deepEqual(['request_success', 'request_failure', 'count'].map(counted), [2, 0, 6])
  assert.ok(counted('exec_count') >= 2 && counted('compute_infer_duration_us') > 0)
  assert.ok(counted('request_duration_us') >= counted('compute_infer_duration_us'))
})

test('images are counted by model and by what became of them', async (t) => {
  const counts = new Map<string, number>()
  const imagesAsked = (model: string, outcome: string) => {
    const key = `${model} ${outcome}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const server = await modelServer(t, { metrics: { imagesAsked } })
  await server.publish('job_1')
  const ask = (model: string, images: readonly Uint8Array[]) => {
    const b64 = images.map((bytes) => ({ b64: Buffer.from(bytes).toString('base64') }))
    return fetch(`${server.url}/v1/models/${model}/predictions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ images: b64 })
    })
  }
  const good = await flatImage(255)
  assert.equal((await ask('light', [good, good, Buffer.from('no image')])).status, 200)
  assert.equal((await ask('light', [good.subarray(0, 60)])).status, 422)
  assert.equal((await ask('unknown', [good])).status, 404)
  await server.engines.close()
  assert.equal((await ask('light', [good])).status, 503)
  const expected = { 'light answered': 2, 'light refused': 2, 'light failed': 1 }
  assert.deepEqual(Object.fromEntries(counts), expected)
})
