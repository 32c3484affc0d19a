import assert from 'node:assert/strict'
import { test } from 'node:test'
import supertest from 'supertest'
import { apiApp, readyDataset } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { apiKey } from '../../support/keys.ts'

test('GET /v1/workers lists those that are there, with the jobs that each holds', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const spec = { dataset: 'digits', model: 'digits' }
  const { body: job } = await supertest(api.app.server).post('/v1/jobs').send(spec)
  const list = async () =>
    (await supertest(api.app.server).get('/v1/workers').expect(200)).body.items
  assert.deepEqual(await list(), [])
  const [one, two] = [fakeWorker(api.app, 'host-1'), fakeWorker(api.app, 'host-2')]
  await one.announce({ busy: 1 })
  await two.announce()
  await one.claim(job.id, 1)
  const [first, second, ...rest] = await list()
  assert.deepEqual([first.id, first.busy, first.jobs], ['host-1', 1, [job.id]])
  assert.deepEqual([second.id, second.order, second.jobs], ['host-2', 'work', []])
  assert.equal(typeof first.seenAt, 'string')
  assert.deepEqual(rest, [])
  await one.sayGoodbye()
  assert.deepEqual(
    (await list()).map(({ id }: { id: string }) => id),
    ['host-2']
  )
})

test('POST /v1/workers/{id}/drain is heard with the next sign of life, and resume undoes it', async (t) => {
  const { app } = await apiApp(t)
  const worker = fakeWorker(app, 'host:1/a')
  await worker.announce()
  const order = async (verb: string) => {
    const path = `/v1/workers/${encodeURIComponent('host:1/a')}/${verb}`
    const { body } = await supertest(app.server).post(path).expect(202)
    return [body.order, body.draining, body.drained]
  }
  assert.deepEqual(await order('drain'), ['drain', false, false])
  assert.deepEqual(await worker.announce({ busy: 1 }), { drain: true })
  assert.deepEqual(await worker.announce({ busy: 1, draining: true }), { drain: true })
  assert.deepEqual(await order('drain'), ['drain', true, false])
  await worker.announce({ draining: true })
  const { body: list } = await supertest(app.server).get('/v1/workers')
  assert.deepEqual([list.items[0].draining, list.items[0].drained], [true, true])
  const { body: health } = await supertest(app.server).get('/health/ready')
  assert.equal(health.parts.workers.ready, false)
  assert.deepEqual(await order('resume'), ['work', true, true])
  assert.deepEqual(await worker.announce({ draining: true }), { drain: false })
})

test('a worker that is not there cannot be drained', async (t) => {
  const { app } = await apiApp(t)
  for (const verb of ['drain', 'resume']) {
    const { status, body } = await supertest(app.server).post(`/v1/workers/nobody/${verb}`)
    assert.deepEqual([status, body.code], [404, 'WORKER_NOT_FOUND'])
    assert.match(body.detail, /"nobody"/)
  }
})

test('workers are shown to and ordered by admins alone', async (t) => {
  const { app } = await apiApp(t, {
    apiKeys: [apiKey('trainer', 'train'), apiKey('admin', 'admin')]
  })
  await fakeWorker(app).announce()
  const ask = (method: 'get' | 'post', path: string, key: string) =>
    supertest(app.server)[method](path).set('authorization', `Bearer ${key}`)
  assert.equal((await ask('get', '/v1/workers', 'trainer')).status, 403)
  assert.equal((await ask('post', '/v1/workers/host-1/drain', 'trainer')).status, 403)
  assert.equal((await ask('get', '/v1/workers', 'admin')).status, 200)
  assert.equal((await ask('post', '/v1/workers/host-1/drain', 'admin')).status, 202)
})
