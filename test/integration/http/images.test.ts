/** Images of a dataset changed one by one: what a version was it stays, whoever asks and when. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import type { ManifestHeader, ManifestImage } from '../../../src/contract/internal.ts'
import { buildPack, openPack } from '../../../src/dataset/pack.ts'
import { preprocess } from '../../../src/image/preprocess.ts'
import { type ApiApp, apiApp } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { flatImage } from '../../support/images.ts'

interface Addition {
  readonly label: string
  readonly split?: string
  readonly key?: string
}

const path = '/v1/datasets/photos/images'

async function add(api: ApiApp, { label, split, key }: Addition, ...files: readonly Buffer[]) {
  const request = supertest(api.app.server).post(path).field('label', label)
  if (split !== undefined) request.field('split', split)
  if (key !== undefined) request.set('idempotency-key', key)
  for (const [i, file] of files.entries()) request.attach('file', file, `${i}.png`)
  return request
}

const get = async (api: ApiApp, url: string) => (await supertest(api.app.server).get(url)).body

const levels = (from: number, count: number) =>
  Promise.all(Array.from({ length: count }, (_, i) => flatImage(from + i)))

/** A dataset made without an archive, with ten dark and ten bright images in versions 1 and 2. */
async function photos(t: TestContext): Promise<ApiApp> {
  const api = await apiApp(t)
  await supertest(api.app.server).post('/v1/datasets').field('name', 'photos').expect(201)
  await add(api, { label: 'dark' }, ...(await levels(10, 10)))
  await add(api, { label: 'bright' }, ...(await levels(200, 10)))
  return api
}

/** What a worker reads of a version. */
async function manifest(api: ApiApp, version: number): Promise<string> {
  const { id } = await get(api, '/v1/datasets/photos')
  const answer = await supertest(api.app.server)
    .get(`/internal/v1/datasets/${id}/versions/${version}`)
    .set('authorization', 'Bearer token-of-the-workers')
    .buffer(true)
    .parse((stream, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk) => chunks.push(Buffer.from(chunk)))
      stream.on('end', () => done(null, Buffer.concat(chunks).toString()))
    })
  assert.equal(answer.status, 200)
  return answer.body
}

const read = (text: string) => {
  const [header, ...images] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  return { header: header as ManifestHeader, images: images as ManifestImage[] }
}

test('versions are frozen: what a worker reads of one stays the same whatever is changed', async (t) => {
  const api = await photos(t)
  const before = await manifest(api, 2)
  const { items } = await get(api, `${path}?label=dark&limit=3`)
  const [first, second] = items
  await supertest(api.app.server).patch(`${path}/${first.id}`).send({ label: 'grey' }).expect(200)
  await supertest(api.app.server).delete(`${path}/${second.id}`).expect(204)
  await add(api, { label: 'grey' }, ...(await levels(100, 5)))
  assert.equal(await manifest(api, 2), before)
  const newest = read(await manifest(api, 5))
  assert.deepEqual(newest.header.labels, ['bright', 'dark', 'grey'])
  assert.equal(newest.images.length, 24)
  assert.notEqual(newest.header.hash, read(before).header.hash)
  // Nothing that a version holds is removed from the store.
  for (const { sha256 } of read(before).images) assert.ok(await api.images.has(sha256))
})

test('an image that is removed and added again comes back into the split it had', async (t) => {
  const api = await photos(t)
  const { items } = await get(api, `${path}?split=test`)
  assert.equal(items.length, 2)
  for (const image of items) {
    const bytes = await supertest(api.app.server).get(`${path}/${image.id}`).set('accept', '*/*')
    assert.equal(bytes.body.split, 'test')
    const { body } = await supertest(api.app.server)
      .get(`${path}/${image.id}`)
      .set('accept', 'image/*')
    await supertest(api.app.server).delete(`${path}/${image.id}`).expect(204)
    const { label } = image
    const again = await add(api, { label, split: 'train' }, body)
    assert.deepEqual([again.body.added, again.body.images[0].split], [1, 'test'])
    assert.notEqual(again.body.images[0].id, image.id)
  }
})

test('images are added once under a key, and the first answer outlives the dataset', async (t) => {
  const api = await photos(t)
  const files = await levels(60, 2)
  const first = await add(api, { label: 'dark', key: 'k' }, ...files)
  const again = await add(api, { label: 'dark', key: 'k' }, ...files)
  assert.deepEqual([first.status, again.status], [201, 201])
  assert.equal(again.headers['idempotency-replayed'], 'true')
  assert.deepEqual(again.body, first.body)
  const others = [
    await add(api, { label: 'bright', key: 'k' }, ...files),
    await add(api, { label: 'dark', split: 'test', key: 'k' }, ...files),
    await add(api, { label: 'dark', key: 'k' }, ...files.slice(1))
  ]
  for (const { status, body } of others) {
    assert.deepEqual([status, body.code], [422, 'IDEMPOTENCY_KEY_REUSED'])
  }
  assert.equal((await get(api, '/v1/datasets/photos')).version, 3)
  await supertest(api.app.server).delete('/v1/datasets/photos').expect(204)
  const late = await add(api, { label: 'dark', key: 'k' }, ...files)
  assert.deepEqual([late.status, late.body], [201, first.body])
  assert.equal((await add(api, { label: 'dark', key: 'l' }, ...files)).status, 404)
})

test('the same images sent twice at once under one key are added by one of the two', async (t) => {
  const api = await photos(t)
  const files = await levels(60, 2)
  const answers = await Promise.all(
    [1, 2].map(() => add(api, { label: 'dark', key: 'k' }, ...files))
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409])
  assert.equal((await get(api, '/v1/datasets/photos')).version, 3)
})

test('given splits are kept, and each label has one spelling', async (t) => {
  const api = await photos(t)
  const added = await add(api, { label: ' cafe\u0301 ', split: 'validation' }, await flatImage(99))
  const [image] = added.body.images
  assert.deepEqual([image.label, image.split], ['café', 'validation'])
  for (const spelling of ['café', 'cafe\u0301']) {
    const { items } = await get(api, `${path}?label=${encodeURIComponent(spelling)}`)
    assert.deepEqual(items, [image])
  }
})

test('a dataset of one class, or of none, is no dataset to train on until it has two', async (t) => {
  const api = await apiApp(t)
  await supertest(api.app.server).post('/v1/datasets').field('name', 'photos').expect(201)
  const job = async () =>
    supertest(api.app.server).post('/v1/jobs').send({ dataset: 'photos', model: 'm' })
  const empty = await job()
  assert.deepEqual([empty.status, empty.body.errors[0].pointer], [422, '/dataset'])
  await add(api, { label: 'dark' }, ...(await levels(10, 10)))
  const single = await job()
  assert.deepEqual([single.status, single.body.code], [422, 'DATASET_SINGLE_CLASS'])
  await add(api, { label: 'bright' }, ...(await levels(200, 10)))
  const accepted = await job()
  assert.equal(accepted.status, 202, accepted.text)
  assert.equal(accepted.body.dataset.version, 2)
  const { items } = await get(api, `${path}?label=bright&limit=200`)
  for (const { id } of items) await supertest(api.app.server).delete(`${path}/${id}`).expect(204)
  assert.equal((await job()).body.code, 'DATASET_SINGLE_CLASS')
  const older = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'photos@2', model: 'm' })
  assert.equal(older.status, 202, older.text)
})

test('changes that cannot be made are refused by code', async (t) => {
  const api = await photos(t)
  const { items } = await get(api, path)
  const one = `${path}/${items[0].id}`
  const patch = (url: string, body: object) => supertest(api.app.server).patch(url).send(body)
  const refusals = [
    [await patch(one, {}), 422, 'REQUEST_INVALID'],
    [await patch(one, { label: 'a', split: 'test' }), 422, 'REQUEST_INVALID'],
    [await patch(one, { label: 'a\u0007b' }), 422, 'LABEL_INVALID'],
    [await patch(one, { label: 'x'.repeat(101) }), 422, 'REQUEST_INVALID'],
    [await patch(`${path}/img_none`, { label: 'a' }), 404, 'IMAGE_NOT_FOUND'],
    [await patch(one.replace('photos', 'none'), { label: 'a' }), 404, 'DATASET_NOT_FOUND'],
    [await supertest(api.app.server).delete(`${path}/img_none`), 404, 'IMAGE_NOT_FOUND'],
    [
      await supertest(api.app.server).get(one.replace('photos', 'photos@2')),
      404,
      'DATASET_NOT_FOUND'
    ],
    [await supertest(api.app.server).post(path).send({ label: 'a' }), 415, 'MEDIA_TYPE_UNSUPPORTED']
  ] as const
  for (const [{ status, body }, expected, code] of refusals) {
    assert.deepEqual([status, body.code], [expected, code], JSON.stringify(body))
  }
  const same = await patch(one, { label: items[0].label })
  assert.deepEqual(same.body, items[0])
  assert.equal((await get(api, '/v1/datasets/photos')).version, 2, 'nothing was changed')
})

test('a file part without a name is a file all the same', async (t) => {
  const api = await photos(t)
  const part = (headers: string, body: Buffer | string) => [
    Buffer.from(`--x\r\n${headers}\r\n\r\n`),
    Buffer.from(body),
    Buffer.from('\r\n')
  ]
  const nameless =
    'Content-Disposition: form-data; name="file"\r\nContent-Type: application/octet-stream'
  const { status, body } = await supertest(api.app.server)
    .post(path)
    .set('content-type', 'multipart/form-data; boundary=x')
    .send(
      Buffer.concat([
        ...part(nameless, 'no image'),
        ...part('Content-Disposition: form-data; name="label"', 'dark'),
        ...part(nameless, await flatImage(60)),
        Buffer.from('--x--\r\n')
      ])
    )
  assert.deepEqual([status, body.added], [201, 1], JSON.stringify(body))
  assert.equal(body.faults[0].file, 'file 1')
})

test('a pack holds the pixels that serving would compute of the same bytes', async (t) => {
  const api = await photos(t)
  const noise = { type: 'gaussian', mean: 120, sigma: 50 } as const
  const create = { width: 90, height: 50, channels: 3, background: 'black', noise } as const
  const odd = await Promise.all([
    sharp({ create }).jpeg().toBuffer(),
    sharp({ create }).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
    sharp({ create }).toColourspace('cmyk').jpeg().toBuffer(),
    sharp({ create }).webp().toBuffer(),
    sharp({ create }).gif().toBuffer(),
    sharp({ create }).png({ palette: true }).toBuffer(),
    sharp({ create }).toColourspace('rgb16').png().toBuffer(),
    sharp({ create }).ensureAlpha(0.4).png().toBuffer()
  ])
  const { body } = await add(api, { label: 'noise' }, ...odd)
  assert.deepEqual([body.added, body.faults], [odd.length, []])
  const folder = join(api.dataDir, 'worker')
  await mkdir(folder)
  const { id } = await get(api, '/v1/datasets/photos')
  const text = await manifest(api, 3)
  const tar = await fakeWorker(api.app).images({ id, name: 'photos', version: 3, hash: '' })
  await writeFile(join(folder, 'manifest.jsonl'), text)
  await writeFile(join(folder, 'images.tar'), tar)
  for (const channels of [1, 3] as const) {
    for (const resize of ['stretch', 'cover', 'contain'] as const) {
      const shape = { size: 24, channels, resize }
      const out = join(folder, `${channels}-${resize}.pack`)
      const files = { tar: join(folder, 'images.tar'), manifest: join(folder, 'manifest.jsonl') }
      await buildPack({ ...files, out, ...shape })
      const pack = openPack(out)
      t.after(() => pack.close())
      const next = { train: 0, validation: 0, test: 0 }
      for (const { sha256, split, label } of read(text).images) {
        const position = next[split]++
        const pixels = new Uint8Array(24 * 24 * channels)
        pack[split].read([position], pixels)
        const bytes = Buffer.concat(await Array.fromAsync(api.images.read(sha256)))
        assert.deepEqual(pixels, new Uint8Array(await preprocess(bytes, shape)))
        assert.equal(pack[split].labels[position], label)
      }
      assert.deepEqual(next, read(text).header.counts)
    }
  }
})
