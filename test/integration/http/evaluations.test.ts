import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import supertest from 'supertest'
import Value from 'typebox/value'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import type { EvaluationReport } from '../../../src/contract/evaluation.ts'
import { Assignment, Job } from '../../../src/contract/job.ts'
import { noTracing, type Tracing } from '../../../src/trace/tracing.ts'
import { type ApiApp, addVersion, apiApp, readyDataset } from '../../support/api-app.ts'
import { brightClassifier } from '../../support/bright-classifier.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { apiKey } from '../../support/keys.ts'
import { publication } from '../../support/publication.ts'

const path = '/v1/models/digits/versions/1/evaluations'

interface Scene extends ApiApp {
  post(body: object, headers?: Record<string, string>): supertest.Test
  get(path: string): supertest.Test
}

/** An api with model `digits` (classes a, b and spare) and dataset `digits` (classes a and b). */
async function scene(
  t: TestContext,
  labels = ['a', 'spare', 'b'],
  changes: Parameters<typeof apiApp>[2] = {}
): Promise<Scene> {
  const api = await apiApp(t, {}, changes)
  await readyDataset(api)
  const artifacts = await Promise.all(
    ['baseline', 'int8'].map(async (variant) => ({
      file: `${variant}.onnx`,
      mediaType: 'application/octet-stream',
      ...(await api.blobs.put(brightClassifier({ variant })))
    }))
  )
  const wanted = { ...publication('job_0', { labels }), artifacts }
  await api.db.transaction().execute((trx) => publishVersion(trx, wanted))
  const { server } = api.app
  return {
    ...api,
    post: (body, headers = {}) => supertest(server).post(path).set(headers).send(body),
    get: (address) => supertest(server).get(address)
  }
}

const estimate = { value: 0.5, ci95: [0.2, 0.8], images: 10 }
const report: EvaluationReport = {
  images: 10,
  labels: ['a', 'spare', 'b'],
  mapped: ['a', 'b'],
  variants: {
    baseline: {
      accuracy: estimate,
      perClass: [{ label: 'a', precision: 0.5, recall: 1, images: 5 }],
      confusion: [
        [5, 0, 0],
        [0, 0, 0],
        [5, 0, 0]
      ],
      calibrationError: 0.1,
      crossEntropy: 1,
      versusBaseline: { accuracyDrop: { value: 0, ci95: [-0.1, 0.1] } }
    }
  }
}
const evaluated = { kind: 'evaluated', report, stopReason: null } as const

test('an evaluation goes the whole way of a job, and its report is its result', async (t) => {
  const api = await scene(t)
  const answer = await api.post({ dataset: 'digits@1' }, { 'idempotency-key': 'once' })
  assert.equal(answer.status, 202, answer.text)
  const { id } = answer.body
  assert.equal(answer.headers.location, `/v1/jobs/${id}`)
  assert.ok(Value.Check(Job, answer.body), JSON.stringify(answer.body))
  assert.deepEqual([answer.body.kind, answer.body.recipe], ['evaluate', null])
  assert.deepEqual(answer.body.evaluation, { version: 1, split: 'test', variants: null })
  const again = await api.post({ dataset: 'digits@1' }, { 'idempotency-key': 'once' })
  assert.deepEqual([again.body.id, again.headers['idempotency-replayed']], [id, 'true'])
  assert.deepEqual(api.queue.sent, [`${id}-1`])

  const worker = fakeWorker(api.app)
  const assignment = await worker.claim(id, 1)
  assert.ok(Value.Check(Assignment, assignment), JSON.stringify(assignment))
  assert.ok(assignment.kind === 'evaluate')
  const { variants, labels, network } = assignment.evaluation
  assert.deepEqual(labels, ['a', 'spare', 'b'])
  assert.deepEqual(network, { inputSize: 8, channels: 1, resize: 'stretch' })
  assert.deepEqual(
    variants.map(({ file }) => file),
    ['baseline.onnx', 'int8.onnx']
  )
  const model = await worker.model(id, 1, 'int8.onnx')
  assert.ok(model.body.equals(Buffer.from(brightClassifier({ variant: 'int8' }))))
  assert.equal(model.headers['content-sha256'], variants[1]?.sha256)
  assert.equal((await worker.model(id, 1, 'pruned.onnx')).status, 404)
  assert.equal((await worker.model(id, 2, 'int8.onnx')).status, 409)

  assert.equal((await worker.outcome(id, 1, evaluated)).status, 200)
  assert.equal((await worker.outcome(id, 1, evaluated)).status, 200)
  const { body: job } = await api.get(`/v1/jobs/${id}`)
  assert.equal(job.state, 'completed', JSON.stringify(job.error))
  assert.deepEqual(job.result, {
    model: 'digits',
    version: 1,
    split: 'test',
    images: 10,
    accuracy: { baseline: estimate },
    report
  })
  assert.ok(Value.Check(Job, job))
  const { body: jobs } = await api.get('/v1/jobs?kind=evaluate')
  assert.deepEqual([jobs.items[0].id, jobs.items[0].result.report], [id, undefined])
  assert.deepEqual((await api.get('/v1/jobs?kind=train')).body.items, [])
  const { body: list } = await api.get(path)
  const [item] = list.items
  assert.deepEqual(
    [item.job, item.dataset.name, item.dataset.version, item.state, item.split, item.accuracy],
    [id, 'digits', 1, 'completed', 'test', { baseline: estimate }]
  )
})

test('an evaluation goes on in the trace of the request that asked for it', async (t) => {
  const context = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }
  const span = { ...noTracing.start(''), context, traceId: '1'.repeat(32) }
  const tracing: Tracing = { ...noTracing, isOn: true, start: () => span }
  const api = await scene(t, undefined, { tracing })
  const { body } = await api.post({ dataset: 'digits' })
  const assignment = await fakeWorker(api.app).claim(body.id, 1)
  assert.deepEqual(assignment.trace, context)
})

test('evaluations are listed in pages, newest first', async (t) => {
  const api = await scene(t)
  const ids: string[] = []
  for (let i = 0; i < 3; i++) ids.unshift((await api.post({ dataset: 'digits' })).body.id)
  const { body: first } = await api.get(`${path}?limit=2`)
  const { body: second } = await api.get(`${path}?limit=2&cursor=${first.next}`)
  const listed = [...first.items, ...second.items].map(({ job }) => job)
  assert.deepEqual([listed, second.next], [ids, null])
  assert.equal(first.items[0].accuracy, null)
  assert.equal((await api.get(`${path}?limit=0`)).status, 422)
})

test('what is wrong with an evaluation is named, and nothing is queued', async (t) => {
  const api = await scene(t)
  const dataset = 'digits'
  const faults: [body: object, pointer: string, detail: RegExp][] = [
    [{}, '/dataset', /required|must/],
    [{ dataset: 'nope' }, '/dataset', /there is none/],
    [{ dataset: 'digits@9' }, '/dataset', /version that exists; newest: 1/],
    [{ dataset: 7 }, '/dataset', /must/],
    [{ dataset, split: 'holdout' }, '/split', /must/],
    [{ dataset, variants: [] }, '/variants', /must/],
    [{ dataset, variants: ['best'] }, '/variants/0', /must/],
    [{ dataset, variants: ['baseline', 'pruned'] }, '/variants/1', /has: baseline, int8/],
    [{ dataset, recipe: {} }, '/recipe', /./],
    [{ dataset, limits: { seconds: 0 } }, '/limits/seconds', /must/],
    [{ dataset, webhook: { url: 'http://10.0.0.1/' } }, '/webhook/url', /./]
  ]
  for (const [body, pointer, detail] of faults) {
    const answer = await api.post(body)
    const shown = JSON.stringify([body, answer.body])
    assert.deepEqual([answer.status, answer.body.code], [422, 'REQUEST_INVALID'], shown)
    assert.equal(answer.body.errors[0].pointer, pointer, shown)
    assert.match(answer.body.errors[0].detail, detail, shown)
  }
  const { server } = api.app
  const missing = [
    ['/v1/models/digits/versions/7/evaluations', 'VERSION_NOT_FOUND'],
    ['/v1/models/letters/versions/1/evaluations', 'MODEL_NOT_FOUND']
  ] as const
  for (const [address, code] of missing) {
    const posted = await supertest(server).post(address).send({ dataset })
    assert.deepEqual([posted.status, posted.body.code], [404, code])
    assert.equal((await api.get(address)).body.code, code)
  }
  assert.deepEqual(api.queue.sent, [])
})

test('classes that the model does not know are named', async (t) => {
  const api = await scene(t, ['b', 'c'])
  const { status, body } = await api.post({ dataset: 'digits' })
  assert.deepEqual([status, body.code], [422, 'LABELS_UNKNOWN'])
  assert.match(body.errors[0].detail, /version 1 has none called "a"$/)
})

test('an evaluation waits for its dataset, and fails when that does not fit', async (t) => {
  const api = await scene(t)
  const id = await readyDataset(api, 'late', 'importing')
  const { body: job } = await api.post({ dataset: 'late' })
  assert.deepEqual([job.state, job.dataset.version], ['queued', null])
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [])
  await api.db.deleteFrom('dataset_images').execute()
  await addVersion(api, id)
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [`${job.id}-1`])
  assert.equal((await fakeWorker(api.app).claim(job.id, 1)).dataset.version, 1)

  const other = await scene(t, ['c', 'd'])
  const later = await readyDataset(other, 'late', 'importing')
  const { body: doomed } = await other.post({ dataset: 'late' })
  await other.db.deleteFrom('dataset_images').execute()
  await addVersion(other, later)
  await other.dispatcher.reconcile()
  const { error } = (await other.get(`/v1/jobs/${doomed.id}`)).body
  assert.equal(error.code, 'LABELS_UNKNOWN')
  assert.match(error.detail, /none called "a", "b"/)
})

test('a version that is being evaluated cannot be deleted, nor its model', async (t) => {
  const api = await scene(t)
  const { server } = api.app
  await supertest(server).delete('/v1/models/digits/aliases/production')
  const { body: job } = await api.post({ dataset: 'digits' })
  for (const address of ['/v1/models/digits/versions/1', '/v1/models/digits']) {
    const { status, body } = await supertest(server).delete(address)
    assert.deepEqual([status, body.code], [409, 'VERSION_IN_USE'])
    assert.ok(body.detail.includes(job.id), body.detail)
  }
  assert.equal((await supertest(server).post(`/v1/jobs/${job.id}/cancel`)).status, 202)
  assert.equal((await supertest(server).delete('/v1/models/digits/versions/1')).status, 204)
  assert.equal((await api.get(`/v1/jobs/${job.id}`)).body.state, 'cancelled')
  assert.deepEqual(await api.db.selectFrom('evaluations').selectAll().execute(), [])
})

test('a deleted job takes its evaluation with it', async (t) => {
  const api = await scene(t)
  const { body: job } = await api.post({ dataset: 'digits' })
  await supertest(api.app.server).post(`/v1/jobs/${job.id}/cancel`)
  assert.equal((await supertest(api.app.server).delete(`/v1/jobs/${job.id}`)).status, 204)
  assert.deepEqual((await api.get(path)).body.items, [])
})

test('an outcome of another kind of job is refused', async (t) => {
  const api = await scene(t)
  const { body: job } = await api.post({ dataset: 'digits' })
  const worker = fakeWorker(api.app)
  await worker.claim(job.id, 1)
  const { report: published } = publication('job_9')
  const wrong = await worker.outcome(job.id, 1, {
    kind: 'completed',
    report: published,
    stopReason: null
  })
  assert.deepEqual([wrong.status, wrong.body.code], [422, 'REQUEST_INVALID'])
  const trained = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'digits', model: 'digits' })
  await worker.claim(trained.body.id, 1)
  assert.equal((await worker.model(trained.body.id, 1, 'int8.onnx')).status, 404)
  assert.equal((await worker.outcome(trained.body.id, 1, evaluated)).status, 422)
})

test('a split without images is refused, and told what there is', async (t) => {
  const api = await scene(t)
  const { facts } = await api.db
    .selectFrom('dataset_versions')
    .select('facts')
    .executeTakeFirstOrThrow()
  const without = JSON.parse(facts)
  for (const found of without.classes) found.test = 0
  await api.db
    .updateTable('dataset_versions')
    .set({ facts: JSON.stringify(without) })
    .execute()
  const { status, body } = await api.post({ dataset: 'digits' })
  assert.equal(status, 422)
  assert.deepEqual(body.errors, [
    {
      pointer: '/split',
      detail: 'must be a split with images; the dataset has train 80, validation 10, test 0',
      received: 'test'
    }
  ])
  assert.equal((await api.post({ dataset: 'digits', split: 'all' })).status, 202)
})

test('what a running evaluation reads stays: dataset, version and model', async (t) => {
  const api = await scene(t)
  const { server } = api.app
  await supertest(server).delete('/v1/models/digits/aliases/production')
  const { body: job } = await api.post({ dataset: 'digits' })
  const worker = fakeWorker(api.app)
  await worker.claim(job.id, 1)
  const kept = [
    ['/v1/datasets/digits', 'DATASET_IN_USE'],
    ['/v1/models/digits/versions/1', 'VERSION_IN_USE'],
    ['/v1/models/digits', 'VERSION_IN_USE']
  ] as const
  for (const [address, code] of kept) {
    const { status, body } = await supertest(server).delete(address)
    assert.deepEqual([status, body.code], [409, code])
  }
  assert.equal((await worker.outcome(job.id, 1, evaluated)).status, 200)
  // Versions with the same number under the same name are not the same.
  assert.equal((await supertest(server).delete('/v1/models/digits')).status, 204)
  assert.equal((await api.get(path)).body.code, 'MODEL_NOT_FOUND')
  const { body: ended } = await api.get(`/v1/jobs/${job.id}`)
  assert.deepEqual([ended.result.images, ended.result.report], [10, undefined])
})

test('an evaluation counts against the quotas of its key, and only a train key may post it', async (t) => {
  const api = await apiApp(t, {
    apiKeys: [apiKey('trainer', 'train'), apiKey('asker', 'predict')],
    keyLimits: { jobsQueued: 1 }
  })
  await readyDataset(api)
  await api.db
    .transaction()
    .execute((trx) => publishVersion(trx, publication('job_0', { labels: ['a', 'b'] })))
  const post = (key: string) =>
    supertest(api.app.server)
      .post(path)
      .set('authorization', `Bearer ${key}`)
      .send({ dataset: 'digits' })
  assert.equal((await post('asker')).status, 403)
  assert.equal((await post('trainer')).status, 202)
  const { status, body } = await post('trainer')
  assert.deepEqual([status, body.code], [429, 'QUOTA_EXCEEDED'])
})
