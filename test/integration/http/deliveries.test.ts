import assert from 'node:assert/strict'
import { test } from 'node:test'
import supertest from 'supertest'
import Value from 'typebox/value'
import { Delivery } from '../../../src/contract/delivery.ts'
import { type ApiApp, apiApp, readyDataset, webhookSecret } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { publication } from '../../support/publication.ts'
import { until } from '../../support/until.ts'
import { isSigned, webhookReceiver } from '../../support/webhook-receiver.ts'

const spec = { dataset: 'digits', model: 'digits' }
const anywhere = { webhookTargets: 'any' } as const

async function posted(api: ApiApp, body: object): Promise<string> {
  const answer = await supertest(api.app.server).post('/v1/jobs').send(body)
  assert.equal(answer.status, 202, answer.text)
  return answer.body.id
}

const get = async (api: ApiApp, path: string) => supertest(api.app.server).get(path)

async function deliveries(api: ApiApp, job: string): Promise<Delivery[]> {
  const { items } = (await get(api, `/v1/jobs/${job}/deliveries`)).body
  for (const item of items) assert.ok(Value.Check(Delivery, item), JSON.stringify(item))
  return items
}

test('the completion of a job is told, listed, and can be told again', async (t) => {
  const api = await apiApp(t, {}, {}, anywhere)
  const receiver = await webhookReceiver(t)
  await readyDataset(api)
  const job = await posted(api, { ...spec, webhook: { url: receiver.url, events: ['completed'] } })
  const worker = fakeWorker(api.app)
  await worker.claim(job, 1)
  for (const file of ['baseline.onnx', 'int8.onnx']) {
    await worker.put(job, 1, 'artifacts', file, Buffer.from(`bytes of ${file}`))
  }
  assert.deepEqual(await deliveries(api, job), [])
  const { report } = publication(job)
  const outcome = await worker.outcome(job, 1, { kind: 'completed', report, stopReason: null })
  assert.equal(outcome.status, 200, outcome.text)

  await until(async () => (await deliveries(api, job))[0]?.state === 'delivered')
  const [message] = receiver.received
  assert.ok(message && isSigned(message, webhookSecret))
  const { type, timestamp, data } = JSON.parse(message.body)
  assert.equal(type, 'job.completed')
  assert.equal(timestamp, data.finishedAt)
  assert.deepEqual(data, (await get(api, `/v1/jobs/${job}`)).body)
  assert.deepEqual(data.result, { model: 'digits', version: 1, recommended: 'int8' })

  const [delivery] = await deliveries(api, job)
  assert.ok(delivery)
  const { id, event, url, nextAt, attempts } = delivery
  assert.deepEqual([event, url, nextAt], ['completed', receiver.url, null])
  assert.deepEqual([attempts.length, attempts[0]?.status, attempts[0]?.error], [1, 200, null])

  const again = await supertest(api.app.server).post(`/v1/jobs/${job}/deliveries/${id}/redeliver`)
  assert.equal(again.status, 202)
  assert.ok(Value.Check(Delivery, again.body))
  assert.deepEqual([again.body.id, again.body.state], [id, 'pending'])
  await until(async () => (await deliveries(api, job))[0]?.attempts.length === 2)
  const [first, second] = receiver.received
  assert.equal(second?.headers['webhook-id'], id)
  assert.equal(second?.body, first?.body)
})

test('a job that fails while it waits for its dataset, or is cancelled, tells so', async (t) => {
  const api = await apiApp(t, {}, {}, anywhere)
  const receiver = await webhookReceiver(t)
  await readyDataset(api, 'digits', 'importing')
  const webhook = { url: receiver.url }
  const cancelled = await posted(api, { ...spec, webhook })
  await supertest(api.app.server).post(`/v1/jobs/${cancelled}/cancel`).expect(202)
  await until(() => receiver.received.length === 1)
  await posted(api, { ...spec, webhook })
  const error = JSON.stringify({ code: 'ARCHIVE_UNREADABLE', detail: 'not a zip' })
  await api.db.updateTable('datasets').set({ status: 'failed', error }).execute()
  await api.dispatcher.reconcile()
  await until(() => receiver.received.length === 2)
  const told = receiver.received.map(({ body }) => JSON.parse(body))
  assert.deepEqual(
    told.map(({ type }) => type),
    ['job.cancelled', 'job.failed']
  )
  assert.match(told[1].data.error.detail, /not a zip/)
})

test('POST /v1/jobs answers 422 for a webhook that may not be called, and queues nothing', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  await readyDataset(api, 'importing', 'importing')
  const refused = async (body: object) => {
    const answer = await supertest(api.app.server).post('/v1/jobs').send(body)
    assert.deepEqual([answer.status, answer.body.code], [422, 'REQUEST_INVALID'], answer.text)
    return answer.body.errors
  }
  const urls = [
    ['http://hooks.example.org/?token=hidden', 'http://hooks.example.org'],
    ['https://user:hidden@hooks.example.org/', 'https://hooks.example.org'],
    ['https://169.254.169.254/latest/', 'https://169.254.169.254'],
    ['https://2130706433:8443/', 'https://127.0.0.1:8443'],
    ['hooks.example.org', 'hooks.example.org']
  ] as const
  for (const dataset of ['digits', 'importing']) {
    for (const [url, received] of urls) {
      const [fault, ...others] = await refused({ ...spec, dataset, webhook: { url } })
      assert.deepEqual([fault.pointer, fault.received, others], ['/webhook/url', received, []])
    }
  }
  const webhook = { url: 'http://hooks.example.org/' }
  const pointers = async (body: object) =>
    (await refused(body)).map(({ pointer }: { pointer: string }) => pointer)
  assert.deepEqual(await pointers({ ...spec, dataset: 'none', webhook }), [
    '/dataset',
    '/webhook/url'
  ])
  const recipe = { train: { epochs: 1, warmupEpochs: 2 } }
  const several = await pointers({ ...spec, recipe, webhook })
  assert.deepEqual(several, ['/recipe/train/warmupEpochs', '/webhook/url'])
  assert.deepEqual(await pointers({ ...spec, dataset: 'none', seed: 'x', webhook }), [
    '/seed',
    '/dataset',
    '/webhook/url'
  ])
  const events = { url: 'https://hooks.example.org/', events: ['finished', 'failed', 'failed'] }
  for (const pointer of await pointers({ ...spec, webhook: events })) {
    assert.match(pointer, /^\/webhook\/events/)
  }
  assert.deepEqual(await pointers({ ...spec, webhook: { url: 7 } }), ['/webhook/url'])
  assert.deepEqual((await get(api, '/v1/jobs')).body.items, [])
})

test('deliveries of jobs that there are not, and of other jobs, are not found', async (t) => {
  const api = await apiApp(t, {}, {}, anywhere)
  const receiver = await webhookReceiver(t)
  await readyDataset(api)
  const told = await posted(api, { ...spec, webhook: { url: receiver.url } })
  const silent = await posted(api, spec)
  for (const job of [told, silent]) {
    await supertest(api.app.server).post(`/v1/jobs/${job}/cancel`).expect(202)
  }
  const [delivery] = await deliveries(api, told)
  assert.deepEqual(await deliveries(api, silent), [])
  const codeOf = async (path: string) => {
    const answer = await supertest(api.app.server).post(path)
    return [answer.status, answer.body.code]
  }
  const missing = [404, 'DELIVERY_NOT_FOUND']
  assert.deepEqual(await codeOf(`/v1/jobs/${silent}/deliveries/${delivery?.id}/redeliver`), missing)
  assert.deepEqual(await codeOf(`/v1/jobs/${told}/deliveries/msg_none/redeliver`), missing)
  const nowhere = [404, 'JOB_NOT_FOUND']
  assert.deepEqual(await codeOf(`/v1/jobs/job_none/deliveries/${delivery?.id}/redeliver`), nowhere)
  assert.equal((await get(api, '/v1/jobs/job_none/deliveries')).body.code, 'JOB_NOT_FOUND')
})
