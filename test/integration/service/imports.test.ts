/** Imports that break off, compete, or are waited for: nothing is lost, doubled or left lying about. */
import assert from 'node:assert/strict'
import { readdir, utimes } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import supertest from 'supertest'
import { unreferencedImages } from '../../../src/catalog/dataset-removal.ts'
import { createImports } from '../../../src/service/imports.ts'
import { sweepBlobs } from '../../../src/service/sweep-blobs.ts'
import { type ApiApp, apiApp, quiet } from '../../support/api-app.ts'
import { shapesZip } from '../../support/whittle.ts'

const { signal } = new AbortController()

const get = async (api: ApiApp, path: string) => (await supertest(api.app.server).get(path)).body

/** Uploads `perClass` images of each of three classes; the import is dispatched and not run. */
async function upload(api: ApiApp, name: string, archive?: Buffer<ArrayBuffer>): Promise<string> {
  const bytes = archive ?? (await shapesZip({ seed: 1, perClass: 10 }))
  const { status, body, text } = await supertest(api.app.server)
    .post('/v1/datasets')
    .field('name', name)
    .attach('file', bytes, 'a.zip')
  assert.equal(status, 202, text)
  return body.id
}

const run = (api: ApiApp, id: string, dispatch = 1) => api.imports.run({ id, dispatch }, signal)

async function files({ images }: ApiApp): Promise<string[]> {
  return (await Array.fromAsync(images.list())).map(({ sha256 }) => sha256)
}

test('an import that dies after its images were moved is run again by the next process', async (t) => {
  const api = await apiApp(t)
  const { db, images } = api
  const id = await upload(api, 'shapes')
  const sent: string[] = []
  const dispatch = async (dataset: string, n: number) => void sent.push(`${dataset}-${n}`)
  const options = { ...api, dispatch, log: quiet() }
  // The store fails at the moment between rows and version, once rows of the import are there.
  const failing = { ...images, flush: () => Promise.reject(new Error('killed here')) }
  const dying = createImports({ ...options, images: failing })
  await dying.run({ id, dispatch: 1 }, signal)
  assert.equal((await get(api, '/v1/datasets/shapes')).status, 'importing')
  assert.equal((await files(api)).length, 30)
  const next = createImports({ ...options, images })
  await next.tidy()
  await next.reconcile()
  assert.deepEqual(sent, [`${id}-2`, `${id}-3`])
  await next.run({ id, dispatch: 2 }, signal)
  assert.equal((await get(api, '/v1/datasets/shapes')).status, 'importing', 'an old dispatch')
  await next.run({ id, dispatch: 3 }, signal)
  const dataset = await get(api, '/v1/datasets/shapes')
  assert.deepEqual([dataset.status, dataset.version, dataset.images], ['ready', 1, 30])
  const rows = await db.selectFrom('dataset_images').select('sha256').execute()
  assert.deepEqual(rows.map(({ sha256 }) => sha256).sort(), (await files(api)).sort())
  await Promise.all([dying.close(), next.close()])
})

test('an importer that exceeds its memory ends three times, then the import has failed', async (t) => {
  const api = await apiApp(t)
  const { importLimits } = await import('../../../src/dataset/limits.ts')
  const id = await upload(api, 'shapes')
  const imports = createImports({
    ...api,
    dispatch: async () => {},
    log: quiet(),
    limits: { ...importLimits, heapMiB: 4 }
  })
  for (const dispatch of [1, 2]) {
    await imports.run({ id, dispatch }, signal)
    assert.equal((await get(api, '/v1/datasets/shapes')).status, 'importing')
  }
  await imports.run({ id, dispatch: 3 }, signal)
  const { status, error } = await get(api, '/v1/datasets/shapes')
  assert.deepEqual([status, error.code], ['failed', 'IMPORT_FAILED'])
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')), [])
  await imports.close()
})

test('an import for which the disk has no room waits with its archive, and ends when there is room', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api, 'shapes')
  const full = Object.assign(new Error('full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 })
  let isFull = true
  const adopt: ApiApp['images']['adopt'] = (file, sha256) =>
    isFull ? Promise.reject(full) : api.images.adopt(file, sha256)
  const dispatch = async () => {}
  const create = () =>
    createImports({ ...api, images: { ...api.images, adopt }, dispatch, log: quiet() })
  const imports = create()
  // More often than a crashing importer would be forgiven, by as many processes.
  for (let tries = 0; tries < 5; tries++) {
    const other = create()
    await other.run({ id, dispatch: 1 }, signal)
    assert.equal((await get(api, '/v1/datasets/shapes')).status, 'importing')
    // Not at once: reconciliation waits for the end of the pause.
    await other.run({ id, dispatch: 1 }, signal)
    await other.close()
  }
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')), [id])
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
  isFull = false
  await imports.run({ id, dispatch: 1 }, signal)
  const { status, images } = await get(api, '/v1/datasets/shapes')
  assert.deepEqual([status, images], ['ready', 30])
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')), [])
  await imports.close()
})

test('an archive that unpacks to more than there is room for waits, and takes none of it', async (t) => {
  const space = { free: 2 ** 40, size: 2 ** 40 }
  const api = await apiApp(t, {}, {}, { disk: { space: async () => space } })
  const id = await upload(api, 'shapes')
  space.free = 1024 ** 3 + 4096
  await run(api, id)
  assert.equal((await get(api, '/v1/datasets/shapes')).status, 'importing')
  assert.deepEqual(await files(api), [])
  space.free = 2 ** 40
  const next = createImports({ ...api, dispatch: async () => {}, log: quiet() })
  await next.run({ id, dispatch: 1 }, signal)
  assert.equal((await get(api, '/v1/datasets/shapes')).status, 'ready')
  await next.close()
})

test('a dataset that is deleted leaves the images that another one holds, or just begins to', async (t) => {
  const api = await apiApp(t)
  const archive = await shapesZip({ seed: 1, perClass: 80 })
  const first = await upload(api, 'first', archive)
  await run(api, first)
  const second = await upload(api, 'second', archive)
  const importing = run(api, second)
  // Deleted again and again until the other import has ended: some deletion falls between its batches.
  let running = true
  void importing.then(() => (running = false))
  while (running) {
    await supertest(api.app.server).delete('/v1/datasets/first')
    const id = await upload(api, 'first', archive)
    if (running) await run(api, id)
  }
  await supertest(api.app.server).delete('/v1/datasets/first').expect(204)
  const { status, images } = await get(api, '/v1/datasets/second')
  assert.deepEqual([status, images], ['ready', 240])
  const rows = await api.db.selectFrom('dataset_images').select(['sha256', 'dataset_id']).execute()
  assert.ok(rows.every(({ dataset_id }) => dataset_id === second))
  for (const { sha256 } of rows) assert.ok(await api.images.has(sha256))
  await supertest(api.app.server).delete('/v1/datasets/second').expect(204)
  assert.deepEqual(await files(api), [])
})

test('a deletion that broke off is finished by the next reconciliation', async (t) => {
  const api = await apiApp(t)
  await run(api, await upload(api, 'shapes'))
  await api.db.deleteFrom('datasets').execute()
  assert.equal((await files(api)).length, 30)
  await api.imports.reconcile()
  assert.deepEqual(await files(api), [])
  assert.deepEqual(await api.db.selectFrom('dataset_images').selectAll().execute(), [])
})

test('images that no row names are swept once they are an hour old', async (t) => {
  const api = await apiApp(t)
  await run(api, await upload(api, 'shapes'))
  const [old, young] = await Promise.all(
    ['a', 'b'].map((text) => api.images.put(Buffer.from(text)))
  )
  assert.ok(old && young)
  const longAgo = new Date(Date.now() - 2 * 3_600_000)
  for (const sha256 of await files(api)) {
    if (sha256 !== young.sha256) await utimes(api.images.path(sha256), longAgo, longAgo)
  }
  assert.equal((await sweepBlobs(api.db, api.images, unreferencedImages)).removed, 1)
  assert.equal((await files(api)).length, 31)
  assert.equal(await api.images.has(old.sha256), false)
})

test('a job waits for the import of its dataset, and starts when it is ready', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api, 'shapes')
  const job = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'shapes', model: 'shapes' })
  assert.equal(job.status, 202, job.text)
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [`${id}-1`])
  const refused = await supertest(api.app.server).delete('/v1/datasets/shapes')
  assert.deepEqual([refused.status, refused.body.code], [409, 'DATASET_IN_USE'])
  await run(api, id)
  await api.dispatcher.reconcile()
  assert.deepEqual(api.queue.sent, [`${id}-1`, `${job.body.id}-1`])
  const planned = await get(api, `/v1/jobs/${job.body.id}`)
  assert.deepEqual(planned.dataset, { id, name: 'shapes', version: 1 })
  assert.equal(planned.recipe.network.architecture, 'resnet-cifar')
})

test('a job whose import fails has failed, and says why', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api, 'text', Buffer.from('this is no archive'))
  const job = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'text', model: 'text' })
  assert.equal(job.status, 202, job.text)
  await run(api, id)
  await api.dispatcher.reconcile()
  const { state, error } = await get(api, `/v1/jobs/${job.body.id}`)
  assert.deepEqual([state, error.code], ['failed', 'REQUEST_INVALID'])
  assert.match(error.detail, /its import failed: Cannot read the archive: .* received text/)
  const late = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'text', model: 'text' })
  assert.equal(late.status, 422)
  assert.equal(late.body.errors[0].pointer, '/dataset')
  await supertest(api.app.server).delete('/v1/datasets/text').expect(204)
})

test('an upload that breaks off leaves nothing, neither a dataset nor a file', async (t) => {
  const api = await apiApp(t)
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = api.app.server.address() as { readonly port: number }
  const head = (length: number, headers = '') =>
    `POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: ${length}\r\n\r\n`
  const part =
    '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nbroken\r\n' +
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\nPK'
  const socket = createConnection(port, '127.0.0.1')
  socket.write(head(1e6, 'Idempotency-Key: k\r\n') + part)
  const staging = () => readdir(join(api.dataDir, 'imports')).catch(() => [])
  while ((await staging()).length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  socket.destroy()
  while ((await staging()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.deepEqual((await get(api, '/v1/datasets')).items, [])
  // The key is free again: nothing was done under it.
  const again = await supertest(api.app.server)
    .post('/v1/datasets')
    .set('idempotency-key', 'k')
    .field('name', 'whole')
  assert.equal(again.status, 201, again.text)
})
