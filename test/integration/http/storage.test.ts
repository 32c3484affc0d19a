/** Room on the disk: what is refused before it is full, what is not, and what is told about it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, truncate, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import supertest from 'supertest'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { publication } from '../../support/publication.ts'
import { shapesZip } from '../../support/whittle.ts'

const MiB = 2 ** 20
const limit = 400 * MiB

const upload = (api: ApiApp, name: string, bytes: Buffer) =>
  supertest(api.app.server).post('/v1/datasets').field('name', name).attach('file', bytes, 'a.zip')

const storage = async (api: ApiApp) => (await supertest(api.app.server).get('/v1/storage')).body

/** A file that takes nothing of the disk of the test, but counts. */
async function fill(api: ApiApp, bytes: number, name = 'ballast'): Promise<void> {
  const file = join(api.dataDir, name)
  await writeFile(file, '')
  await truncate(file, bytes)
  await api.storage.measure()
}

test('uploads are refused before the limit is reached, files of accepted jobs only at its end', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await readyDataset(api)
  const job = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'digits', model: 'digits' })
  assert.equal(job.status, 202, job.text)
  const worker = fakeWorker(api.app)
  const { attempt } = await worker.claim(job.body.id, 1)
  const checkpoint = (name: string) =>
    worker.put(job.body.id, attempt, 'checkpoints', name, randomBytes(MiB))

  await fill(api, limit - 40 * MiB)
  const refused = await upload(api, 'late', Buffer.alloc(1000))
  assert.deepEqual([refused.status, refused.body.code], [507, 'DISK_FULL'])
  assert.match(refused.body.detail, /room for 0 bytes is left, received \d+ .* used of a limit of/)
  assert.equal(refused.headers['retry-after'], '60')
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')).catch(() => []), [])
  await checkpoint('checkpoint-000001.safetensors').expect(204)

  await fill(api, limit - 4 * MiB)
  const last = await checkpoint('checkpoint-000002.safetensors')
  assert.deepEqual([last.status, last.body.code], [507, 'DISK_FULL'])
  assert.deepEqual(await readdir(join(api.dataDir, 'blobs', 'staging')), [])
  // What only the catalogue has to remember goes on.
  await worker.event(job.body.id, attempt, { type: 'metric', metric: worker.metric(1) }).expect(204)
  await supertest(api.app.server).post('/v1/datasets').field('name', 'empty').expect(507)
  await supertest(api.app.server).post(`/v1/jobs/${job.body.id}/cancel`).expect(202)

  await fill(api, 0)
  const taken = await upload(api, 'late', await shapesZip({ seed: 1, perClass: 2 }))
  assert.equal(taken.status, 202, taken.text)
})

test('a dataset that is deleted makes room at once', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  const id = await readyDataset(api)
  const { sha256 } = await api.images.put(randomBytes(12 * MiB))
  await api.db.updateTable('dataset_images').set({ sha256 }).where('id', '=', 'img_a').execute()
  const { used, reserve } = await storage(api)
  await fill(api, limit - reserve - used - MiB)
  const archive = randomBytes(MiB)
  assert.equal((await upload(api, 'second', archive)).status, 507)
  await supertest(api.app.server).delete(`/v1/datasets/${id}`).expect(204)
  const taken = await upload(api, 'second', archive)
  assert.equal(taken.status, 202, taken.text)
})

test('a version or a model that is deleted makes room at once, but for files that others have', async (t) => {
  const { app, blobs, db } = await apiApp(t)
  const put = async (text: string) => (await blobs.put(Buffer.from(text))).sha256
  const [own, shared] = [await put('of one version only'), await put('of two models')]
  const publish = (job: string, model: string, sha256: string) =>
    db.transaction().execute((trx) => {
      const wanted = publication(job, { model, variants: ['int8'] })
      const artifacts = wanted.artifacts.map((artifact) => ({ ...artifact, sha256 }))
      return publishVersion(trx, { ...wanted, artifacts })
    })
  await publish('job_1', 'first', shared)
  await publish('job_2', 'first', own)
  await publish('job_3', 'second', shared)
  const remove = (path: string) => supertest(app.server).delete(`/v1/models/${path}`).expect(204)
  await remove('first/versions/2')
  assert.deepEqual([await blobs.has(own), await blobs.has(shared)], [false, true])
  await remove('first')
  assert.equal(await blobs.has(shared), true)
  await remove('second')
  assert.equal(await blobs.has(shared), false)
})

test('two uploads at once cannot both take the last room', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  const { used, reserve } = await storage(api)
  await fill(api, limit - reserve - used - 3 * MiB)
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((name) => upload(api, name, randomBytes(MiB)))
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 507, 507])
})

test('an upload of unknown length is ended when the room is used up, and leaves nothing', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = api.app.server.address() as AddressInfo
  const { used, reserve } = await storage(api)
  await fill(api, limit - reserve - used - 5 * MiB)
  const head =
    '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nendless\r\n' +
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
  const sent = request({
    port,
    method: 'POST',
    path: '/v1/datasets',
    headers: { 'content-type': 'multipart/form-data; boundary=x', 'transfer-encoding': 'chunked' }
  })
  // The service stops reading; what is still on its way has nobody to reach.
  sent.on('error', () => {})
  const status = new Promise((resolve) =>
    sent.on('response', (answer) => resolve(answer.statusCode))
  )
  sent.write(head)
  let isAnswered = false
  void status.then(() => (isAnswered = true))
  for (let i = 0; i < 64 && !isAnswered; i++) {
    await new Promise((resolve) => sent.write(Buffer.alloc(MiB), resolve))
  }
  sent.end('\r\n--x--\r\n')
  assert.equal(await status, 507)
  sent.destroy()
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
  const list = await supertest(api.app.server).get('/v1/datasets')
  assert.deepEqual(list.body.items, [])
})

test('GET /v1/storage says what takes the room, and what a sweep has removed', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await readyDataset(api)
  const job = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'digits', model: 'digits' })
  const worker = fakeWorker(api.app)
  const { attempt } = await worker.claim(job.body.id, 1)
  await worker
    .put(job.body.id, attempt, 'checkpoints', 'checkpoint-000001.safetensors', randomBytes(5000))
    .expect(204)
  await api.blobs.put(Buffer.from('nobody refers to this'))
  await mkdir(join(api.dataDir, 'worker', 'packs'), { recursive: true })
  await writeFile(join(api.dataDir, 'worker', 'packs', 'a.pack'), Buffer.alloc(10_000))
  await mkdir(join(api.dataDir, 'redis'))
  await writeFile(join(api.dataDir, 'redis', 'appendonly.aof'), 'x')
  api.storage.removed()
  const seen = await storage(api)
  const { images, checkpoints, models, unreferenced, workerCache, redis, uploads } = seen.parts
  assert.deepEqual(
    { images, checkpoints, models, unreferenced, workerCache, redis, uploads },
    {
      images: 2 * 4096,
      checkpoints: 2 * 4096,
      models: 0,
      unreferenced: 4096,
      workerCache: 3 * 4096,
      redis: 4096,
      uploads: 0
    }
  )
  const parts = Object.values<number>(seen.parts).reduce((sum, bytes) => sum + bytes, 0)
  assert.deepEqual([seen.used, seen.limit, seen.blobs], [parts, limit, 4])
  assert.equal(seen.room, limit - seen.used - seen.reserve)
  assert.equal(seen.lastSweep, null)
  await api.sweeper.sweep(Date.now() + 2 * 3_600_000)
  const after = await storage(api)
  assert.deepEqual([after.parts.unreferenced, after.blobs], [0, 3])
  assert.deepEqual([after.lastSweep.removed, after.lastSweep.bytes], [1, 21])
})

test('what was refused for want of room has the service sweep, once', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await fill(api, limit)
  await Promise.all(['a', 'b', 'c'].map((name) => upload(api, name, Buffer.alloc(10)).expect(507)))
  await api.sweeper.idle()
  const { at } = (await storage(api)).lastSweep
  await upload(api, 'd', Buffer.alloc(10)).expect(507)
  await api.sweeper.idle()
  assert.equal((await storage(api)).lastSweep.at, at)
})

test('a job whose files could never be stored is refused; another is told what it may take', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: 16 * MiB } })
  await readyDataset(api)
  const post = (width: number, train = {}) =>
    supertest(api.app.server)
      .post('/v1/jobs')
      .send({
        dataset: 'digits',
        model: 'digits',
        recipe: {
          network: { architecture: 'resnet-cifar', depth: 20, width, inputSize: 32 },
          train
        }
      })
  const refused = await post(4)
  assert.deepEqual([refused.status, refused.body.code], [422, 'DISK_ESTIMATE_EXCEEDED'])
  assert.equal(refused.body.errors[0].pointer, '/recipe/network')
  const accepted = await post(0.5)
  assert.equal(accepted.status, 202, accepted.text)
  const { allowance } = await fakeWorker(api.app).claim(accepted.body.id, 1)
  assert.ok(allowance.memoryBytes > 3 * 2 ** 30 && allowance.memoryBytes < 8 * 2 ** 30)
  assert.ok(allowance.diskBytes > 256 * MiB && allowance.diskBytes < 512 * MiB)
  // Twice its estimate would be more than the limit of the service.
  const { id } = (await post(0.5, { batchSize: 2048 })).body
  const large = await fakeWorker(api.app).claim(id, 1)
  assert.equal(large.allowance.memoryBytes, 8 * 2 ** 30)
})
