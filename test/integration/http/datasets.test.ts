import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import { createImports } from '../../../src/service/imports.ts'
import { type ApiApp, apiApp, quiet } from '../../support/api-app.ts'
import { flatImage } from '../../support/images.ts'
import { shapesZip } from '../../support/whittle.ts'

const { signal } = new AbortController()

const post = (api: ApiApp, path: string) => supertest(api.app.server).post(path)
const get = (api: ApiApp, path: string) => supertest(api.app.server).get(path)

async function upload(api: ApiApp, name = 'shapes', perClass = 10): Promise<string> {
  const archive = await shapesZip({ seed: 1, perClass })
  // The file comes before the name on purpose: fields may be in any order.
  const answer = await post(api, '/v1/datasets')
    .attach('file', archive, 'a.zip')
    .field('name', name)
  assert.equal(answer.status, 202, answer.text)
  assert.equal(answer.headers.location, `/v1/datasets/${answer.body.id}`)
  return answer.body.id
}

/** Runs what the queue was given last, as the api's own consumer would. */
async function work(api: ApiApp): Promise<void> {
  const [, id = '', n = ''] = /^(.+)-(\d+)$/.exec(api.queue.sent.at(-1) ?? '') ?? []
  await api.imports.run({ id, dispatch: Number(n) }, signal)
}

async function ready(t: TestContext): Promise<ApiApp & { readonly id: string }> {
  const api = await apiApp(t)
  const id = await upload(api)
  await work(api)
  return { ...api, id }
}

test('POST /v1/datasets imports an archive and says what it found', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api)
  assert.equal((await get(api, '/v1/datasets/shapes')).body.status, 'importing')
  await work(api)
  const { body } = await get(api, `/v1/datasets/${id}`)
  assert.equal(body.status, 'ready')
  assert.deepEqual([body.version, body.images], [1, 30])
  assert.deepEqual(body.classes[1], { label: 'disc', train: 8, validation: 1, test: 1 })
  assert.deepEqual(body.width, { min: 16, median: 16, max: 16 })
  assert.equal(body.import.kept, 30)
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')), [])
  const list = (await get(api, '/v1/datasets?limit=1')).body
  assert.deepEqual([list.items.length, list.items[0].id, list.next], [1, id, null])
})

test('POST /v1/datasets refuses with a pointer per fault, and keeps nothing', async (t) => {
  const api = await apiApp(t)
  const refused = await post(api, '/v1/datasets').field('strict', 'perhaps').field('colour', 'red')
  assert.equal(refused.status, 422)
  assert.deepEqual(
    refused.body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted(),
    ['/colour']
  )
  const named = await post(api, '/v1/datasets').field('strict', 'perhaps').field('name', 'No!')
  assert.deepEqual(
    named.body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted(),
    ['/name', '/strict']
  )
  const json = await post(api, '/v1/datasets').send({ name: 'digits' })
  assert.equal(json.body.code, 'MEDIA_TYPE_UNSUPPORTED')
  const two = await post(api, '/v1/datasets')
    .field('name', 'two')
    .attach('file', Buffer.from('a'), 'a.zip')
    .attach('file', Buffer.from('b'), 'b.zip')
  assert.equal(two.body.code, 'REQUEST_TOO_LARGE')
  assert.deepEqual((await get(api, '/v1/datasets')).body.items, [])
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
})

test('a dataset name is taken once, and free again after DELETE', async (t) => {
  const api = await ready(t)
  const again = await post(api, '/v1/datasets').field('name', 'shapes')
  assert.equal(again.body.code, 'DATASET_NAME_TAKEN')
  const { body } = await get(api, `/v1/datasets/${api.id}/images?limit=1`)
  const { sha256 } = body.items[0]
  assert.ok(await api.images.has(sha256))
  assert.equal((await supertest(api.app.server).delete('/v1/datasets/shapes')).status, 204)
  assert.equal(await api.images.has(sha256), false)
  assert.equal((await get(api, `/v1/datasets/${api.id}`)).status, 404)
  assert.equal((await post(api, '/v1/datasets').field('name', 'shapes')).status, 201)
})

test('an upload under an idempotency key is made once, also when it is sent again', async (t) => {
  const api = await apiApp(t)
  const archive = await shapesZip({ seed: 1, perClass: 4 })
  const send = (name: string, file = archive) =>
    post(api, '/v1/datasets')
      .set('idempotency-key', 'k1')
      .field('name', name)
      .attach('file', file, 'a.zip')
  const first = await send('shapes')
  const second = await send('shapes')
  assert.deepEqual([first.status, second.status], [202, 202])
  assert.equal(second.headers['idempotency-replayed'], 'true')
  assert.deepEqual(second.body, first.body)
  assert.equal((await send('others')).body.code, 'IDEMPOTENCY_KEY_REUSED')
  const other = await send('shapes', await shapesZip({ seed: 2, perClass: 4 }))
  assert.equal(other.body.code, 'IDEMPOTENCY_KEY_REUSED')
  assert.equal((await get(api, '/v1/datasets')).body.items.length, 1)
})

test('images are added, listed, fetched, relabelled and removed, a version each', async (t) => {
  const api = await ready(t)
  const path = `/v1/datasets/${api.id}/images`
  const png = await flatImage(200)
  const added = await post(api, path)
    .field('label', 'disc')
    .attach('file', png, 'a.png')
    .attach('file', png, 'b.png')
    .attach('file', Buffer.from('no image'), 'c.png')
  assert.equal(added.status, 201, added.text)
  assert.deepEqual([added.body.added, added.body.duplicates, added.body.version], [1, 1, 2])
  assert.equal(added.body.faults[0].code, 'IMAGE_FORMAT_UNSUPPORTED')
  const [image] = added.body.images

  const known = await post(api, path).field('label', 'disc').attach('file', png, 'a.png')
  assert.deepEqual([known.body.added, known.body.duplicates, known.body.version], [0, 1, 2])
  const contrary = await post(api, path).field('label', 'cross').attach('file', png, 'a.png')
  assert.equal(contrary.body.faults[0].code, 'IMAGE_LABEL_CONFLICT')

  assert.deepEqual((await get(api, `${path}/${image.id}`)).body, image)
  const bytes = await get(api, `${path}/${image.id}`).set('accept', 'image/*')
  assert.equal(bytes.headers['content-type'], 'image/png')
  assert.deepEqual(bytes.body, png)

  const patched = await supertest(api.app.server)
    .patch(`${path}/${image.id}`)
    .send({ label: ' square ' })
  assert.deepEqual(patched.body, { ...image, label: 'square' })
  assert.equal((await supertest(api.app.server).delete(`${path}/${image.id}`)).status, 204)
  assert.equal((await get(api, `${path}/${image.id}`)).body.code, 'IMAGE_NOT_FOUND')

  const { body: versions } = await get(api, `/v1/datasets/${api.id}/versions`)
  assert.deepEqual(
    versions.items.map((v: { version: number; images: number }) => [v.version, v.images]),
    [
      [4, 30],
      [3, 31],
      [2, 31],
      [1, 30]
    ]
  )
  const hashes = versions.items.map(({ hash }: { hash: string }) => hash)
  // Version 4 holds what version 1 held, and says so; 2 and 3 differ by a label.
  assert.equal(hashes[0], hashes[3])
  assert.equal(new Set(hashes).size, 3)
})

test('GET images filters by label and split, and pages without gap or double', async (t) => {
  const api = await ready(t)
  const path = `/v1/datasets/shapes/images`
  const { body } = await get(api, `${path}?label=disc&split=test`)
  assert.deepEqual(
    body.items.map(({ label, split }: { label: string; split: string }) => [label, split]),
    [['disc', 'test']]
  )
  const seen = new Set<string>()
  let cursor = ''
  for (let pages = 0; pages < 10; pages++) {
    const { body: page } = await get(api, `${path}?limit=7${cursor}`)
    for (const { id } of page.items) seen.add(id)
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
  }
  assert.equal(seen.size, 30)
  assert.equal((await get(api, `${path}?split=some`)).status, 422)
  assert.equal((await get(api, `${path}?cursor=job_1`)).status, 422)
})

test('two callers who add at once get two versions, and nothing is lost', async (t) => {
  const api = await ready(t)
  const path = `/v1/datasets/shapes/images`
  const answers = await Promise.all(
    [10, 60, 120, 180].map(async (level) =>
      post(api, path)
        .field('label', 'disc')
        .attach('file', await flatImage(level), 'a.png')
    )
  )
  assert.deepEqual(
    answers.map(({ body }) => body.version).toSorted((a, b) => a - b),
    [2, 3, 4, 5]
  )
  assert.equal((await get(api, '/v1/datasets/shapes')).body.images, 34)
})

test('an empty dataset is filled image by image', async (t) => {
  const api = await apiApp(t)
  const made = await post(api, '/v1/datasets').field('name', 'new')
  assert.deepEqual([made.status, made.body.status, made.body.version], [201, 'ready', null])
  const nothing = await post(api, '/v1/datasets/new/images')
    .field('label', 'a')
    .attach('file', Buffer.from('x'), 'x.png')
  assert.deepEqual([nothing.body.added, nothing.body.version], [0, null])
  for (const [label, level] of [
    ['a', 20],
    ['b', 220]
  ] as const) {
    const files = await Promise.all([0, 1, 2].map((i) => flatImage(level + i)))
    const request = post(api, '/v1/datasets/new/images').field('label', label)
    for (const file of files) request.attach('file', file, 'f.png')
    assert.equal((await request).body.added, 3)
  }
  const { body } = await get(api, '/v1/datasets/new')
  assert.deepEqual(body.classes, [
    { label: 'a', train: 1, validation: 1, test: 1 },
    { label: 'b', train: 1, validation: 1, test: 1 }
  ])
  assert.deepEqual(
    body.health.map(({ code }: { code: string }) => code),
    ['FEW_IMAGES', 'TINY_IMAGES']
  )
})

test('65 files, a missing label and an unknown split are refused as a whole', async (t) => {
  const api = await ready(t)
  const png = await flatImage(99)
  const many = post(api, '/v1/datasets/shapes/images').field('label', 'disc')
  for (let i = 0; i < 65; i++) many.attach('file', png, `${i}.png`)
  assert.equal((await many).body.code, 'REQUEST_TOO_LARGE')
  const wrong = await post(api, '/v1/datasets/shapes/images').field('split', 'later')
  assert.deepEqual(
    wrong.body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted(),
    ['/file', '/label', '/split']
  )
  const unseen = await post(api, '/v1/datasets/shapes/images')
    .field('label', 'a\u200bb')
    .attach('file', png, 'a.png')
  assert.deepEqual([unseen.status, unseen.body.code], [422, 'LABEL_INVALID'])
  assert.equal((await get(api, '/v1/datasets/shapes')).body.version, 1)
})

test('an import of an api that was killed is dispatched anew and ends ready', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api)
  // What a killed process would have left: some rows, a staging folder, an upload nobody owns.
  const stale = api.queue.sent.at(-1)
  await mkdir(join(api.dataDir, 'imports', id, 'files'), { recursive: true })
  await writeFile(join(api.dataDir, 'uploads', 'ds_gone'), 'half of an archive')
  const sent: string[] = []
  const { dataDir } = api
  const dispatch = async (dataset: string, n: number) => void sent.push(`${dataset}-${n}`)
  const next = createImports({ ...api, dispatch, log: quiet() })
  await next.tidy()
  assert.equal(existsSync(join(dataDir, 'uploads', 'ds_gone')), false)
  assert.equal(existsSync(next.archiveOf(id)), true)
  await next.reconcile()
  assert.deepEqual(sent, [`${id}-2`])
  assert.equal(stale, `${id}-1`)
  await next.run({ id, dispatch: 1 }, signal)
  assert.equal((await get(api, `/v1/datasets/${id}`)).body.status, 'importing')
  await next.run({ id, dispatch: 2 }, signal)
  assert.equal((await get(api, `/v1/datasets/${id}`)).body.images, 30)
  await next.close()
})

test('an import that is aborted half-way starts again from nothing', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api, 'shapes', 60)
  const abort = new AbortController()
  const running = api.imports.run({ id, dispatch: 1 }, abort.signal)
  setTimeout(() => abort.abort(new Error('lock lost')), 400)
  await running
  if ((await get(api, `/v1/datasets/${id}`)).body.status === 'importing') await work(api)
  const { body } = await get(api, `/v1/datasets/${id}`)
  assert.deepEqual([body.status, body.images], ['ready', 180])
})

test('an importer that keeps ending unexpectedly fails the import, saying so', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api)
  await rm(api.imports.archiveOf(id))
  for (let n = 1; n <= 3; n++) await api.imports.run({ id, dispatch: n }, signal)
  const { body } = await get(api, `/v1/datasets/${id}`)
  assert.deepEqual([body.status, body.error.code], ['failed', 'IMPORT_FAILED'])
  assert.match(body.error.detail, /3 times/)
  const added = await post(api, `/v1/datasets/${id}/images`)
    .field('label', 'a')
    .attach('file', await flatImage(1), 'a.png')
  assert.equal(added.body.code, 'DATASET_NOT_READY')
})

test('DELETE ends a running import, and refuses while a job uses the dataset', async (t) => {
  const api = await apiApp(t)
  const id = await upload(api, 'shapes', 60)
  const running = api.imports.run({ id, dispatch: 1 }, signal)
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.equal((await supertest(api.app.server).delete(`/v1/datasets/${id}`)).status, 204)
  await running
  assert.equal((await get(api, `/v1/datasets/${id}`)).status, 404)
  assert.equal(existsSync(api.imports.archiveOf(id)), false)

  await upload(api, 'used')
  await work(api)
  const job = await post(api, '/v1/jobs').send({ dataset: 'used', model: 'm' })
  assert.equal(job.status, 202, job.text)
  const refused = await supertest(api.app.server).delete('/v1/datasets/used')
  assert.equal(refused.body.code, 'DATASET_IN_USE')
  assert.match(refused.body.detail, new RegExp(job.body.id))
})

test('GET image gives the stored bytes whatever they are', async (t) => {
  const api = await ready(t)
  const webp = await sharp(await flatImage(77))
    .webp({ lossless: true })
    .toBuffer()
  const added = await post(api, '/v1/datasets/shapes/images')
    .field('label', 'disc')
    .field('split', 'test')
    .attach('file', webp, 'x.jpg')
  const [image] = added.body.images
  assert.equal(image.split, 'test')
  const bytes = await get(api, `/v1/datasets/shapes/images/${image.id}`)
    .set('accept', 'image/avif,image/webp,*/*')
    .buffer(true)
  assert.equal(bytes.headers['content-type'], 'image/webp')
  assert.equal(bytes.headers.etag, `"${image.sha256}"`)
  assert.deepEqual(bytes.body, webp)
  const known = await get(api, `/v1/datasets/shapes/images/${image.id}`)
    .set('accept', 'image/*')
    .set('if-none-match', `"${image.sha256}"`)
  assert.deepEqual([known.status, known.text], [304, ''])
})
