/** What a key may use: bytes stored, jobs queued, training per day; also when two ask at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import { beat } from '../../../src/catalog/job-attempts.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { gzip, tarOf } from '../../support/archives.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { flatImage } from '../../support/images.ts'
import { apiKey, showing } from '../../support/keys.ts'
import { publication } from '../../support/publication.ts'
import { shapesZip } from '../../support/whittle.ts'

const apiKeys = [apiKey('one', 'train'), apiKey('two', 'train')]
const { signal } = new AbortController()

async function limited(t: TestContext, keyLimits: Parameters<typeof apiApp>[1]) {
  const api = await apiApp(t, { apiKeys, ...keyLimits })
  // Without this, supertest would listen anew for every request.
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  return api
}

const idOf = ({ keys }: ApiApp, key: string): string => {
  const found = keys.find(key)
  assert.ok('caller' in found)
  return found.caller.id
}

/** An empty dataset, or one that an archive is to be imported into. */
const create = ({ app }: ApiApp, name: string, { key = 'one', archive = Buffer.alloc(0) } = {}) => {
  const request = supertest(app.server).post('/v1/datasets').set(showing(key)).field('name', name)
  return archive.length === 0 ? request : request.attach('file', archive, 'a.zip')
}

const add = ({ app }: ApiApp, dataset: string, image: Buffer, key = 'one') =>
  supertest(app.server)
    .post(`/v1/datasets/${dataset}/images`)
    .set(showing(key))
    .field('label', 'a')
    .attach('file', image, 'a.png')

const post = ({ app }: ApiApp, key = 'one') =>
  supertest(app.server)
    .post('/v1/jobs')
    .set(showing(key))
    .send({ dataset: 'digits', model: 'digits' })

const show = async ({ app }: ApiApp, url: string) =>
  (await supertest(app.server).get(url).set(showing('one'))).body

/** The answer to an upload of which nothing but the head is ever sent. */
async function announce({ app }: ApiApp, path: string, bytes: number): Promise<string> {
  const { port } = app.server.address() as { readonly port: number }
  const socket = connect(port, '127.0.0.1')
  const lines = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    'Authorization: Bearer one',
    'Content-Type: multipart/form-data; boundary=b',
    `Content-Length: ${bytes}`
  ]
  socket.write([...lines, '', ''].join('\r\n'))
  try {
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    return String(answer)
  } finally {
    socket.destroy()
  }
}

const contents = async ({ images }: ApiApp) => (await Array.fromAsync(images.list())).length

const statuses = (answers: readonly { readonly status: number }[]) =>
  answers.map(({ status }) => status).sort()

test('of two uploads at once that fit alone but not together, one is stored', async (t) => {
  const [first, second] = [await flatImage(10), await flatImage(20)]
  const bytesStored = Math.max(first.length, second.length) + 1
  const api = await limited(t, { keyLimits: { bytesStored } })
  for (const name of ['a', 'b']) await create(api, name).expect(201)
  const answers = await Promise.all([add(api, 'a', first), add(api, 'b', second)])
  assert.deepEqual(statuses(answers), [201, 429])
  const refused = answers.find(({ status }) => status === 429)
  assert.equal(refused?.body.code, 'QUOTA_EXCEEDED')
  assert.match(
    refused?.body.detail,
    new RegExp(
      `^Cannot store the images: the quota bytesStored allows ${bytesStored} bytes, \\d+ are used, received \\d+$`
    )
  )
  assert.equal(refused?.headers['retry-after'], undefined, 'no time would be known')
  assert.equal(await contents(api), 1)
  const datasets = [await show(api, '/v1/datasets/a'), await show(api, '/v1/datasets/b')]
  assert.deepEqual(datasets.map(({ images }) => images).sort(), [0, 1])
})

test('an upload for which nothing is left is refused before it is read', async (t) => {
  const image = await flatImage(10)
  const api = await limited(t, { keyLimits: { bytesStored: image.length } })
  await create(api, 'a').expect(201)
  await add(api, 'a', image).expect(201)
  for (const path of ['/v1/datasets', '/v1/datasets/a/images']) {
    const answer = await announce(api, path, 1_000_000_000)
    assert.match(answer, /^HTTP\/1.1 429 .*QUOTA_EXCEEDED/s)
    assert.match(answer, new RegExp(`allows ${image.length} bytes, ${image.length} are used`))
  }
})

test('what a dataset holds already costs nothing more, and what is deleted is free again', async (t) => {
  const [first, second] = [await flatImage(10), await flatImage(20)]
  const api = await limited(t, { keyLimits: { bytesStored: first.length + second.length } })
  await create(api, 'a').expect(201)
  const { body } = await add(api, 'a', first).expect(201)
  const image = `/v1/datasets/a/images/${body.images[0].id}`
  const server = supertest(api.app.server)
  await server.patch(image).set(showing('one')).send({ label: 'b' }).expect(200)
  await server.delete(image).set(showing('one')).expect(204)
  await add(api, 'a', first).expect(201)
  const owner = idOf(api, 'one')
  assert.equal((await api.quotas.usage(api.db, owner)).bytesStored, first.length)
  await add(api, 'a', second).expect(201)
  await add(api, 'a', await flatImage(30)).expect(429)
  await server.delete('/v1/datasets/a').set(showing('one')).expect(204)
  assert.equal((await api.quotas.usage(api.db, owner)).bytesStored, 0)
  await create(api, 'b').expect(201)
})

test('images that somebody else adds count for the owner of the dataset', async (t) => {
  const image = await flatImage(10)
  const api = await limited(t, { keyLimits: { bytesStored: image.length } })
  await create(api, 'a').expect(201)
  await add(api, 'a', image, 'two').expect(201)
  const used = async (key: string) => (await api.quotas.usage(api.db, idOf(api, key))).bytesStored
  assert.deepEqual([await used('one'), await used('two')], [image.length, 0])
  await add(api, 'a', await flatImage(20), 'two').expect(429)
  await create(api, 'b', { key: 'two' }).expect(201)
})

/** `count` images that an archive folds to a fraction of what they take. */
async function folded(count: number, first = 0) {
  const members = Array.from({ length: count }, async (_, i) => {
    const background = { r: first + i, g: 0, b: 0 }
    const image = sharp({ create: { width: 48, height: 48, channels: 3, background } })
    return { name: `${i % 2}/${i}.png`, bytes: await image.png({ compressionLevel: 0 }).toBuffer() }
  })
  const images = await Promise.all(members)
  const bytes = images.reduce((sum, { bytes }) => sum + bytes.length, 0)
  return { archive: gzip(await tarOf(images)), bytes }
}

test('an import that would exceed the quota fails its dataset and leaves nothing', async (t) => {
  const [small, large] = [await folded(4), await folded(40, 100)]
  const api = await limited(t, { keyLimits: { bytesStored: small.bytes } })
  assert.ok(large.archive.length < small.bytes)
  const run = async (name: string, archive: Buffer<ArrayBuffer>) => {
    const { id } = (await create(api, name, { archive }).expect(202)).body
    await api.imports.run({ id, dispatch: 1 }, signal)
    return show(api, `/v1/datasets/${name}`)
  }
  const failed = await run('large', large.archive)
  assert.deepEqual([failed.status, failed.error.code], ['failed', 'QUOTA_EXCEEDED'])
  assert.equal(
    failed.error.detail,
    `Cannot store the images: the quota bytesStored allows ${small.bytes} bytes, 0 are used, received ${large.bytes}`
  )
  assert.equal(failed.import.kept, 40, 'the report tells what there was')
  assert.equal(await contents(api), 0)
  const rows = await api.db.selectFrom('dataset_images').select('id').execute()
  assert.deepEqual(rows, [])
  const { bytes, status } = await run('small', small.archive)
  assert.deepEqual([status, bytes], ['ready', small.bytes])
  assert.equal((await api.quotas.usage(api.db, idOf(api, 'one'))).bytesStored, bytes)
})

test('of two imports at once that fit alone but not together, one is committed', async (t) => {
  const { archive, bytes } = await folded(40)
  const api = await limited(t, { keyLimits: { bytesStored: bytes + archive.length } })
  const ids: string[] = []
  for (const name of ['a', 'b']) {
    ids.push((await create(api, name, { archive }).expect(202)).body.id)
  }
  await Promise.all(ids.map((id) => api.imports.run({ id, dispatch: 1 }, signal)))
  const [a, b] = [await show(api, '/v1/datasets/a'), await show(api, '/v1/datasets/b')]
  assert.deepEqual([a.status, b.status].sort(), ['failed', 'ready'])
  assert.equal([a, b].find(({ status }) => status === 'failed').error.code, 'QUOTA_EXCEEDED')
})

test('an archive for which less is left than it announces is refused before it is read', async (t) => {
  const api = await limited(t, { keyLimits: { bytesStored: 1_000_000 } })
  assert.match(
    await announce(api, '/v1/datasets', 4_000_000_000),
    /^HTTP\/1.1 429 .*Cannot take the upload: the quota bytesStored allows 1000000 bytes, 0 are used, received 4000000000/s
  )
})

test('of two archives at once that fit alone but not together, one is accepted', async (t) => {
  const archive = await shapesZip({ seed: 1, perClass: 30 })
  const limit = archive.length + 1000
  const api = await limited(t, { keyLimits: { bytesStored: limit } })
  const answers = await Promise.all(['a', 'b'].map((name) => create(api, name, { archive })))
  assert.deepEqual(statuses(answers), [202, 429])
  const accepted = answers.find(({ status }) => status === 202)?.body
  const owner = idOf(api, 'one')
  assert.equal((await api.quotas.usage(api.db, owner)).bytesStored, archive.length)
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')), [accepted.id])
  assert.equal((await api.storage.room()).held, archive.length)
  await api.imports.run({ id: accepted.id, dispatch: 1 }, signal)
  const { status, bytes } = await show(api, `/v1/datasets/${accepted.name}`)
  assert.equal(status, 'ready')
  assert.notEqual(bytes, archive.length)
  assert.equal((await api.quotas.usage(api.db, owner)).bytesStored, bytes)
})

test('an archive whose import fails counts until then, and for nothing afterwards', async (t) => {
  const api = await limited(t, { keyLimits: { bytesStored: 100_000 } })
  const archive = Buffer.alloc(90_000, 'no archive')
  const { id } = (await create(api, 'a', { archive }).expect(202)).body
  const refused = await create(api, 'b', { archive }).expect(429)
  assert.match(refused.body.detail, /allows 100000 bytes, 90000 are used, received 9\d{4}$/)
  await api.imports.run({ id, dispatch: 1 }, signal)
  assert.equal((await show(api, '/v1/datasets/a')).status, 'failed')
  assert.equal((await api.quotas.usage(api.db, idOf(api, 'one'))).bytesStored, 0)
  await create(api, 'b', { archive }).expect(202)
})

test('files of published versions count for whoever posted the job', async (t) => {
  const api = await limited(t, { keyLimits: { bytesStored: 2000 } })
  const owner = idOf(api, 'one')
  // Two files of 1,000 bytes each.
  await publishVersion(api.db, publication('job_1', { owner }))
  assert.equal((await api.quotas.usage(api.db, owner)).bytesStored, 2000)
  await create(api, 'a').expect(429)
  await create(api, 'a', { key: 'two' }).expect(201)
})

test('of two jobs posted at once, one is queued where one is allowed', async (t) => {
  const api = await limited(t, { keyLimits: { jobsQueued: 1 } })
  await readyDataset(api)
  const answers = await Promise.all([post(api), post(api)])
  assert.deepEqual(statuses(answers), [202, 429])
  const refused = answers.find(({ status }) => status === 429)
  assert.equal(
    refused?.body.detail,
    'Cannot queue the job: the quota jobsQueued allows 1 jobs, 1 are used'
  )
  await post(api, 'two').expect(202)
  const accepted = answers.find(({ status }) => status === 202)
  const cancel = supertest(api.app.server).post(`/v1/jobs/${accepted?.body.id}/cancel`)
  await cancel.set(showing('one')).expect(202)
  await post(api).expect(202)
})

test('training that has been used up refuses new jobs, and lets those that run go on', async (t) => {
  const api = await limited(t, { keyLimits: { trainingSecondsPerDay: 10 } })
  await readyDataset(api)
  const { id } = (await post(api).expect(202)).body
  const worker = fakeWorker(api.app)
  const { attempt } = await worker.claim(id, 1)
  const owner = idOf(api, 'one')
  const later = (ms: number) => new Date(Date.now() + ms)
  await beat(api.db, { id, attempt }, 0.5, later(4000))
  await settleAttempt(api.db, { id, attempt }, { kind: 'released' }, later(10_000))
  const rows = await api.db.selectFrom('key_usage').selectAll().execute()
  // Midnight may have come in between, and it has taken a moment to get here.
  const counted = rows.reduce((sum, row) => sum + row.training_ms, 0)
  assert.ok(counted >= 10_000, `${counted}`)
  assert.deepEqual([...new Set(rows.map((row) => row.owner))], [owner])
  const day = '2090-11-24'
  await api.db.insertInto('key_usage').values({ owner, day, training_ms: 10_000 }).execute()
  const ask = (now: string) =>
    api.db.transaction().execute((trx) => api.quotas.assertMayQueue(trx, owner, new Date(now)))
  await assert.rejects(ask(`${day}T23:59:30.400Z`), {
    code: 'QUOTA_EXCEEDED',
    retryAfter: 30,
    detail: 'Cannot queue the job: the quota trainingSecondsPerDay allows 10 seconds, 10 are used'
  })
  await ask('2090-11-25T00:00:00Z')
  const again = await worker.claim(id, 2)
  assert.equal(again.attempt, 2, 'what was accepted goes on')
})

test('without keys nothing is owned and nothing limited', async (t) => {
  const api = await apiApp(t, { keyLimits: { jobsQueued: 0, bytesStored: 0 } })
  await readyDataset(api)
  await supertest(api.app.server).post('/v1/datasets').field('name', 'a').expect(201)
  const spec = { dataset: 'digits', model: 'digits' }
  await supertest(api.app.server).post('/v1/jobs').send(spec).expect(202)
  const { owner } = await api.db.selectFrom('jobs').select('owner').executeTakeFirstOrThrow()
  assert.equal(owner, null)
})
