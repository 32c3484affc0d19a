import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import supertest from 'supertest'
import { extract } from 'tar-stream'
import Value from 'typebox/value'
import { ManifestHeader } from '../../../src/contract/internal.ts'
import { Assignment, Job } from '../../../src/contract/job.ts'
import { type ApiApp, addVersion, apiApp, readyDataset } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { publication, variantReport } from '../../support/publication.ts'

const spec = { dataset: 'digits', model: 'digits' }

async function posted(api: ApiApp, body: object = spec): Promise<string> {
  const answer = await supertest(api.app.server).post('/v1/jobs').send(body)
  assert.equal(answer.status, 202, answer.text)
  return answer.body.id
}

const show = async (api: ApiApp, id: string) =>
  (await supertest(api.app.server).get(`/v1/jobs/${id}`)).body

test('POST /v1/jobs answers 202 with the job, resolved in full, and dispatches it', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const answer = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ ...spec, seed: 9 })
  assert.equal(answer.status, 202)
  assert.equal(answer.headers.location, `/v1/jobs/${answer.body.id}`)
  assert.ok(Value.Check(Job, answer.body), JSON.stringify(answer.body))
  const { state, seed, dataset, recipe, reasons, attempt } = answer.body
  assert.deepEqual([state, seed, attempt], ['queued', 9, 0])
  assert.deepEqual(dataset, { id: 'ds_digits', name: 'digits', version: 1 })
  assert.equal(recipe?.network.inputSize, 28)
  assert.ok(Object.keys(reasons).includes('/network/inputSize'))
  assert.deepEqual(api.queue.sent, [`${answer.body.id}-1`])
  assert.deepEqual(await show(api, answer.body.id), answer.body)
})

test('a job goes the whole way with a worker over the internal routes', async (t) => {
  const latency = variantReport('baseline.onnx').latency
  const asked: unknown[] = []
  const api = await apiApp(
    t,
    {},
    {
      measureLatency: async ({ variants, ...rest }) => {
        asked.push(rest.batch)
        return Object.fromEntries(variants.map(({ variant }) => [variant, latency]))
      }
    }
  )
  await readyDataset(api)
  const id = await posted(api)
  const worker = fakeWorker(api.app)

  const assignment = await worker.claim(id, 1)
  assert.ok(Value.Check(Assignment, assignment), JSON.stringify(assignment))
  assert.deepEqual([assignment.attempt, assignment.checkpoints], [1, []])
  const { header, images } = await worker.manifest(assignment.dataset)
  assert.ok(Value.Check(ManifestHeader, header), JSON.stringify(header))
  assert.deepEqual(header.labels, ['a', 'b'])
  const tar = await entries(await worker.images(assignment.dataset))
  assert.deepEqual(
    [...tar.keys()],
    images.map(({ sha256 }) => sha256)
  )
  for (const [sha256, bytes] of tar) assert.equal(digest(bytes), sha256)

  await worker.event(id, 1, { type: 'stage', stage: 'train', progress: 0.1 })
  await worker.event(id, 1, { type: 'metric', metric: worker.metric(1) })
  const line = { type: 'log', at: '2026-01-01T00:00:00Z', level: 'info', message: 'über' } as const
  await worker.event(id, 1, line)
  assert.equal((await worker.beat(id, 1, 0.25)).body.order, 'continue')
  const running = await show(api, id)
  assert.deepEqual([running.state, running.stage, running.progress], ['running', 'train', 0.25])
  const metrics = await supertest(api.app.server).get(`/v1/jobs/${id}/metrics`)
  assert.deepEqual(metrics.body.items, [worker.metric(1)])
  const logs = await supertest(api.app.server).get(`/v1/jobs/${id}/logs`)
  assert.equal(logs.text, '2026-01-01T00:00:00Z info über\n')
  assert.match(String(logs.headers['content-type']), /^text\/plain/)

  await worker.put(id, 1, 'checkpoints', 'checkpoint-1.safetensors', Buffer.from('weights'))
  assert.equal((await worker.get(id, 1, 'checkpoint-1.safetensors')).body.toString(), 'weights')
  for (const file of ['baseline.onnx', 'int8.onnx']) {
    await worker.put(id, 1, 'artifacts', file, Buffer.from(`bytes of ${file}`))
  }
  const measured = await worker.latency(id, 1, [{ variant: 'int8', file: 'int8.onnx' }])
  assert.deepEqual([measured.body, asked], [{ latencies: { int8: latency } }, [1]])

  const { report } = publication(id)
  const outcome = { kind: 'completed', report, stopReason: null } as const
  assert.deepEqual((await worker.outcome(id, 1, outcome)).body, { state: 'completed', version: 1 })
  const ended = await show(api, id)
  assert.ok(Value.Check(Job, ended))
  assert.deepEqual(ended.result, { model: 'digits', version: 1, recommended: 'int8' })
  assert.deepEqual([ended.state, ended.progress, ended.error], ['completed', 1, null])
  const file = await supertest(api.app.server).get(
    '/v1/models/digits/versions/1/artifacts/int8.onnx'
  )
  assert.equal(file.body.toString(), 'bytes of int8.onnx')
  const checkpoint = digest(Buffer.from('weights'))
  assert.equal(await api.blobs.has(checkpoint), false)
})

test('a worker that was cut off is refused everything: 409 ATTEMPT_STALE', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const id = await posted(api)
  const worker = fakeWorker(api.app)
  await worker.claim(id, 1)
  await worker.claim(id, 1)
  const refused = [
    await worker.beat(id, 1, 0.5),
    await worker.event(id, 1, { type: 'stage', stage: 'train', progress: 1 }),
    await worker.put(id, 1, 'checkpoints', 'late', Buffer.from('late')),
    await worker.put(id, 1, 'artifacts', 'late', Buffer.from('late')),
    await worker.latency(id, 1, [{ variant: 'int8', file: 'late' }]),
    await worker.outcome(id, 1, { kind: 'failed', code: 'INTERNAL', detail: '' })
  ]
  for (const answer of refused) {
    assert.deepEqual([answer.status, answer.body.code], [409, 'ATTEMPT_STALE'])
  }
  assert.equal(await api.blobs.has(digest(Buffer.from('late'))), false)
  assert.equal((await worker.beat(id, 2, 0.5)).status, 200)
})

test('a batch of events whose answer was lost is stored once, and each attempt counts its own', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const id = await posted(api)
  const worker = fakeWorker(api.app)
  const say = async (attempt: number, message: string, n: number) => {
    const line = { type: 'log', at: '2026-01-01T00:00:00Z', level: 'info', message } as const
    assert.equal((await worker.event(id, attempt, line, n)).status, 204)
  }
  await worker.claim(id, 1)
  await say(1, 'one', 1)
  await say(1, 'two', 2)
  await say(1, 'two', 2)
  await worker.outcome(id, 1, { kind: 'released' })
  await worker.claim(id, 2)
  await say(2, 'three', 1)
  await say(2, 'three', 1)
  const log = await supertest(api.app.server).get(`/v1/jobs/${id}/logs`)
  const at = '2026-01-01T00:00:00Z info'
  assert.equal(log.text, `${at} one\n${at} two\n${at} three\n`)
})

test('what arrives damaged is not kept', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const id = await posted(api)
  const worker = fakeWorker(api.app)
  await worker.claim(id, 1)
  const wrong = { sha256: digest(Buffer.from('else')) }
  const answer = await worker.put(id, 1, 'checkpoints', 'c', Buffer.from('x'), wrong)
  assert.equal(answer.status, 400)
  const outside = await worker.put(id, 1, 'artifacts', '..%2Fetc', Buffer.from('x'))
  assert.equal(outside.status, 422)
  assert.deepEqual((await worker.claim(id, 1)).checkpoints, [])
})

test('jobs are accepted while Redis is away, and dispatched once it is back', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  api.queue.away = true
  const id = await posted(api)
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [])
  api.queue.away = false
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [`${id}-1`])
})

test('a job on a dataset that is being imported waits, and starts when it is ready', async (t) => {
  const api = await apiApp(t)
  const dataset = await readyDataset(api, 'digits', 'importing')
  const id = await posted(api)
  await api.dispatcher.reconcile()
  const waiting = await show(api, id)
  assert.deepEqual([waiting.state, waiting.recipe, waiting.dataset.version], ['queued', null, null])
  assert.deepEqual(api.queue.sent, [])
  await addVersion(api, dataset)
  await api.dispatcher.reconcile()
  const ready = await show(api, id)
  assert.deepEqual([ready.dataset.version, ready.recipe.network.channels], [1, 1])
  assert.deepEqual(api.queue.sent, [`${id}-1`])
})

test('a waiting job fails with the reason when the import fails', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api, 'digits', 'importing')
  const id = await posted(api)
  const error = JSON.stringify({ code: 'ARCHIVE_UNREADABLE', detail: 'not a zip' })
  await api.db.updateTable('datasets').set({ status: 'failed', error }).execute()
  await api.dispatcher.reconcile()
  const failed = await show(api, id)
  assert.equal(failed.state, 'failed')
  assert.match(failed.error.detail, /import failed.*not a zip/)
  const again = await supertest(api.app.server).post('/v1/jobs').send(spec)
  assert.deepEqual([again.status, again.body.errors[0].pointer], [422, '/dataset'])
})

test('what the planner finds is refused with pointers into the job', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const network = { architecture: 'resnet-cifar', depth: 21 }
  const body = { ...spec, recipe: { network } }
  const answer = await supertest(api.app.server).post('/v1/jobs').send(body)
  assert.equal(answer.status, 422)
  assert.equal(answer.body.errors[0].pointer, '/recipe/network/depth')
  const missing = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ ...spec, dataset: 'digits@7' })
  assert.match(missing.body.errors[0].detail, /newest: 1/)
  assert.deepEqual((await supertest(api.app.server).get('/v1/jobs')).body, {
    items: [],
    next: null
  })
})

test('cancel, stop and delete follow the state of the job', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const http = supertest(api.app.server)
  const id = await posted(api)
  assert.equal((await http.delete(`/v1/jobs/${id}`)).body.code, 'JOB_NOT_ENDED')
  const worker = fakeWorker(api.app)
  await worker.claim(id, 1)
  assert.equal((await http.post(`/v1/jobs/${id}/stop`)).status, 202)
  assert.equal((await worker.beat(id, 1, 0.1)).body.order, 'stop')
  const json = { 'content-type': 'application/json' }
  assert.equal((await http.post(`/v1/jobs/${id}/cancel`).set(json)).status, 202)
  assert.equal((await worker.beat(id, 1, 0.1)).body.order, 'cancel')
  assert.equal((await worker.outcome(id, 1, { kind: 'cancelled' })).body.state, 'cancelled')
  assert.equal((await http.post(`/v1/jobs/${id}/cancel`)).status, 202)
  assert.equal((await http.post(`/v1/jobs/${id}/stop`)).body.code, 'JOB_ENDED')
  assert.equal((await http.delete(`/v1/jobs/${id}`)).status, 204)
  assert.equal((await http.get(`/v1/jobs/${id}`)).status, 404)
})

test('GET /v1/jobs pages and filters', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const ids = [await posted(api), await posted(api), await posted(api)].reverse()
  const http = supertest(api.app.server)
  const first = (await http.get('/v1/jobs?limit=2&state=queued&kind=train')).body
  assert.deepEqual(
    first.items.map((job: { id: string }) => job.id),
    ids.slice(0, 2)
  )
  const second = (await http.get(`/v1/jobs?limit=2&cursor=${first.next}`)).body
  assert.deepEqual(
    second.items.map((job: { id: string }) => job.id),
    ids.slice(2)
  )
  assert.equal(second.next, null)
  assert.deepEqual((await http.get('/v1/jobs?parent=job_x')).body.items, [])
  assert.deepEqual((await http.get('/v1/jobs?state=running')).body.items, [])
})

test('readiness names every part, and workers are there while they say so', async (t) => {
  const api = await apiApp(t)
  const http = supertest(api.app.server)
  const { parts } = (await http.get('/health/ready')).body
  assert.deepEqual(Object.keys(parts), ['catalogue', 'redis', 'engines', 'workers'])
  assert.deepEqual([parts.catalogue.ready, parts.workers.ready], [true, false])
  await fakeWorker(api.app).announce()
  const after = (await http.get('/health/ready')).body.parts
  assert.equal(after.workers.ready, true)
  const engine = (await http.get('/v1/engine')).body
  assert.deepEqual(engine.training[0].engine.name, 'tensorflow')
  assert.equal(engine.serving.cpu, 'test')
})

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function entries(tar: Buffer): Promise<Map<string, Buffer>> {
  const unpack = extract()
  unpack.end(tar)
  const found = new Map<string, Buffer>()
  for await (const entry of unpack) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    found.set(entry.header.name, Buffer.concat(chunks))
  }
  return found
}
