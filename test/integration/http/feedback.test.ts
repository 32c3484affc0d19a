/** What predicted images really showed: told, counted, and added to datasets. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import supertest from 'supertest'
import Value from 'typebox/value'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { Feedback, LiveAccuracy } from '../../../src/contract/feedback.ts'
import { wilson } from '../../../src/evaluate/wilson.ts'
import { PredictionMemory } from '../../../src/service/prediction-memory.ts'
import { type ApiApp, apiApp } from '../../support/api-app.ts'
import { brightClassifier, brightLabels, brightNetwork } from '../../support/bright-classifier.ts'
import { flatImage } from '../../support/images.ts'
import { apiKey, showing } from '../../support/keys.ts'
import { publication } from '../../support/publication.ts'

type Options = Parameters<typeof apiApp>[1]

/** An api with models `light` and `other`, both classifiers of dark and bright images. */
async function serving(t: TestContext, options?: Options, keepImages = 0): Promise<ApiApp> {
  const api = await apiApp(t, options, {}, { keepImages })
  for (const model of ['light', 'other']) {
    const artifacts = await Promise.all(
      ['baseline', 'int8'].map(async (variant) => ({
        file: `${variant}.onnx`,
        mediaType: 'application/octet-stream',
        ...(await api.blobs.put(brightClassifier({ model, variant })))
      }))
    )
    const wanted = publication(`job_${model}`, { network: brightNetwork, labels: brightLabels })
    await publishVersion(api.db, { ...wanted, model, artifacts })
  }
  return api
}

const client = ({ app }: ApiApp) => supertest(app.server)

async function predict(api: ApiApp, ...values: readonly number[]): Promise<string> {
  const request = client(api).post('/v1/models/light/predictions')
  for (const value of values) request.attach('image', await flatImage(value), 'x.png')
  const answer = await request.expect(200)
  return answer.body.id
}

const tell = (api: ApiApp, body: object, model = 'light') =>
  client(api).post(`/v1/models/${model}/feedback`).send(body)

async function datasetOf(api: ApiApp, name = 'photos'): Promise<void> {
  await client(api).post('/v1/datasets').field('name', name).expect(201)
  for (const [label, from] of [
    ['dark', 10],
    ['bright', 200],
    ['dim', 100]
  ] as const) {
    const request = client(api).post(`/v1/datasets/${name}/images`).field('label', label)
    for (let i = 0; i < 3; i += 1) request.attach('file', await flatImage(from + i), `${i}.png`)
    await request.expect(201)
  }
}

test('feedback is stored, listed, and replaced by what is said later', async (t) => {
  const api = await serving(t)
  const id = await predict(api, 0, 255)
  const first = await tell(api, { prediction: id, label: 'bright' }).expect(200)
  assert.ok(Value.Check(Feedback, first.body), first.text)
  const { prediction, index, label, predicted, correct, version, variant, addedTo } = first.body
  assert.deepEqual(
    { prediction, index, label, predicted, correct, version, variant, addedTo },
    {
      prediction: id,
      index: 0,
      label: 'bright',
      predicted: 'dark',
      correct: false,
      version: 1,
      variant: 'int8',
      addedTo: null
    }
  )
  assert.ok(first.body.score > 0.99)
  await tell(api, { prediction: id, index: 1, label: ' bright ' }).expect(200)
  const again = await tell(api, { prediction: id, label: 'dark' }).expect(200)
  assert.equal(again.body.correct, true)
  const { body } = await client(api).get('/v1/models/light/feedback').expect(200)
  assert.deepEqual(
    body.items.map((one: Feedback) => [one.index, one.label, one.correct]),
    [
      [1, 'bright', true],
      [0, 'dark', true]
    ]
  )
  const other = await client(api).get('/v1/models/other/feedback').expect(200)
  assert.deepEqual(other.body, { items: [], next: null })
})

test('feedback to what is not remembered, and labels that nobody has, are refused by name', async (t) => {
  const api = await serving(t)
  const id = await predict(api, 0)
  const cases: readonly (readonly [object, number, RegExp])[] = [
    [{ prediction: id, index: 1, label: 'dark' }, 404, /index 1.*PREDICTION_NOT_FOUND/],
    [{ prediction: 'pred_none', label: 'dark' }, 404, /7 days.*received pred_none/],
    [{ prediction: id, label: 'cat' }, 422, /"pointer":"\/label".*dark, bright.*"received":"cat"/],
    [{ prediction: id, label: '' }, 422, /"pointer":"\/label"/],
    [{ prediction: id, label: 'x'.repeat(401) }, 422, /"pointer":"\/label"/],
    [{ prediction: id }, 422, /"pointer":"\/label".*is required/],
    [{ label: 'dark' }, 422, /"pointer":"\/prediction".*is required/],
    [{ prediction: id, label: 'dark', index: 64 }, 422, /"pointer":"\/index"/],
    [{ prediction: id, label: 'dark', index: '0' }, 422, /"pointer":"\/index"/],
    [{ prediction: id, label: 'dark', more: 1 }, 422, /"pointer":"\/more"/],
    [
      { prediction: id, label: 'dark', addTo: 'photos' },
      422,
      /"pointer":"\/addTo".*needs the image, which is not kept.*multipart/
    ],
    [{ prediction: id, label: 'dark', addTo: 7 }, 422, /"pointer":"\/addTo"/],
    [
      { items: [{ prediction: id, label: 'dark', addTo: 'photos' }] },
      422,
      /addTo.*one image at a time/
    ],
    [{ items: [] }, 422, /"pointer":"\/items"/],
    [{ items: [{ prediction: id, label: 'dark' }], label: 'x' }, 422, /"pointer":"\/label"/],
    [{ items: new Array(201).fill({ prediction: id, label: 'dark' }) }, 422, /1 to 200/],
    [{ items: 'all' }, 422, /"pointer":"\/items"/],
    [[], 422, /REQUEST_INVALID/]
  ]
  for (const [body, status, text] of cases) {
    const answer = await tell(api, body)
    assert.equal(answer.status, status, `${JSON.stringify(body).slice(0, 100)}: ${answer.text}`)
    assert.match(answer.text, text)
  }
  // Of another model, it is not there.
  assert.equal((await tell(api, { prediction: id, label: 'dark' }, 'other')).status, 404)
  assert.equal((await tell(api, { prediction: id, label: 'dark' }, 'nobody')).status, 404)
  const text = await client(api)
    .post('/v1/models/light/feedback')
    .set('content-type', 'text/plain')
    .send('dark')
  assert.equal(text.status, 415)
  const broken = await client(api)
    .post('/v1/models/light/feedback')
    .set('content-type', 'application/json')
    .send('{"prediction":')
  assert.equal(broken.status, 400)
  const { body } = await client(api).get('/v1/models/light/feedback')
  assert.deepEqual(body.items, [])
})

test('a batch answers each item in its place', async (t) => {
  const api = await serving(t)
  const id = await predict(api, 0, 255, 30)
  const items = [
    { prediction: id, label: 'dark' },
    { prediction: id, index: 1, label: 'cat' },
    { prediction: 'pred_none', label: 'dark' },
    { prediction: id, index: 2, label: 'bright' },
    { prediction: id, index: 2, label: 'dark' }
  ]
  const { body } = await tell(api, { items }).expect(200)
  assert.deepEqual(
    body.items.map((one: Feedback & { error?: { code: string } }) => one.error?.code ?? one.label),
    ['dark', 'REQUEST_INVALID', 'PREDICTION_NOT_FOUND', 'bright', 'dark']
  )
  const listed = await client(api).get('/v1/models/light/feedback')
  assert.equal(listed.body.items.length, 2)
})

test('GET accuracy counts by version, variant and class, with intervals', async (t) => {
  const api = await serving(t)
  const empty = await client(api).get('/v1/models/light/accuracy').expect(200)
  assert.deepEqual(empty.body, { model: 'light', variants: [] })
  const id = await predict(api, ...new Array(10).fill(0), ...new Array(5).fill(255))
  const items = Array.from({ length: 15 }, (_, index) => ({
    prediction: id,
    index,
    // Two of the ten that were taken for dark were not.
    label: index < 2 || index >= 10 ? 'bright' : 'dark'
  }))
  await tell(api, { items }).expect(200)
  const { body } = await client(api).get('/v1/models/light/accuracy').expect(200)
  assert.ok(Value.Check(LiveAccuracy, body), JSON.stringify(body))
  const [variant] = (body as LiveAccuracy).variants
  assert.deepEqual(variant?.accuracy, { value: 13 / 15, ci95: wilson(13, 15), images: 15 })
  assert.deepEqual(variant?.confusion, [
    { label: 'bright', predicted: 'bright', images: 5 },
    { label: 'bright', predicted: 'dark', images: 2 },
    { label: 'dark', predicted: 'dark', images: 8 }
  ])
  assert.deepEqual(
    variant?.perClass.map(({ label, images, predicted, recall }) => [
      label,
      images,
      predicted,
      recall?.value
    ]),
    [
      ['bright', 7, 5, 5 / 7],
      ['dark', 8, 10, 1]
    ]
  )
  for (const [query, images] of [
    ['?version=1&variant=int8', 15],
    ['?variant=baseline', undefined],
    ['?version=2', undefined]
  ] as const) {
    const answer = await client(api).get(`/v1/models/light/accuracy${query}`).expect(200)
    assert.equal(answer.body.variants[0]?.accuracy.images, images, query)
  }
  const pages: Feedback[] = []
  for (let cursor = ''; ; ) {
    const query = `limit=4&correct=true${cursor === '' ? '' : `&cursor=${cursor}`}`
    const page = await client(api).get(`/v1/models/light/feedback?${query}`).expect(200)
    pages.push(...page.body.items)
    if (page.body.next === null) break
    cursor = page.body.next
  }
  assert.equal(new Set(pages.map(({ index }) => index)).size, 13)
  for (const query of ['?correct=1', '?version=0', '?variant=x', '?cursor=a', '?limit=0', '?x=1']) {
    assert.equal((await client(api).get(`/v1/models/light/feedback${query}`)).status, 422, query)
  }
})

test('with its image, feedback adds to a dataset: once, and only the image that was predicted', async (t) => {
  const api = await serving(t)
  await datasetOf(api)
  const id = await predict(api, 60, 61)
  const add = async (fields: Readonly<Record<string, string>>, ...values: readonly number[]) => {
    const request = client(api).post('/v1/models/light/feedback')
    for (const [name, value] of Object.entries(fields)) request.field(name, value)
    for (const value of values) request.attach('image', await flatImage(value), 'x.png')
    return request
  }
  // The label is none of the model's, but one of the dataset's.
  const given = { prediction: id, label: 'dim', addTo: 'photos' }
  const first = await add(given, 60)
  assert.equal(first.status, 200, first.text)
  assert.ok(Value.Check(Feedback, first.body), first.text)
  const { addedTo } = first.body as Feedback
  assert.deepEqual([addedTo?.dataset, addedTo?.added, addedTo?.version], ['photos', 1, 4])
  const dataset = await client(api).get('/v1/datasets/photos')
  const dim = dataset.body.classes.find(({ label }: { label: string }) => label === 'dim')
  assert.equal(dim.train + dim.validation + dim.test, 4)
  const [image] = addedTo?.images ?? []
  assert.equal(
    image?.sha256,
    createHash('sha256')
      .update(await flatImage(60))
      .digest('hex')
  )
  // Again it is known.
  const second = await add(given, 60)
  assert.deepEqual(
    [second.body.addedTo.added, second.body.addedTo.duplicates, second.body.addedTo.version],
    [0, 1, 4]
  )
  // Under another label it is a conflict, told as such; the feedback counts.
  const conflict = await add({ ...given, label: 'dark' }, 60)
  assert.equal(conflict.body.addedTo.faults[0].code, 'IMAGE_LABEL_CONFLICT')
  assert.equal(conflict.body.correct, true)
  const cases: readonly (readonly [Promise<supertest.Response>, number, RegExp])[] = [
    [add({ ...given, index: '1' }, 60), 422, /"pointer":"\/image".*must be the image/],
    [add(given), 422, /"pointer":"\/image".*is required/],
    [add(given, 60, 60), 413, /REQUEST_TOO_LARGE/],
    [add({ prediction: id, label: 'dim' }, 60), 422, /"pointer":"\/addTo".*is required/],
    [add({ ...given, label: 'cat' }, 60), 422, /dark, bright, or one of photos: .*dim/],
    [add({ ...given, addTo: 'nowhere' }, 60), 404, /DATASET_NOT_FOUND/],
    [add({ ...given, index: 'x' }, 60), 422, /"pointer":"\/index"/],
    [add({ ...given, index: '7' }, 60), 404, /PREDICTION_NOT_FOUND/],
    [add({ ...given, split: 'test' }, 60), 422, /unknown field; known are .*image/]
  ]
  for (const [answer, status, text] of cases) {
    const { status: received, text: body } = await answer
    assert.equal(received, status, body)
    assert.match(body, text)
  }
  const { body } = await client(api).get('/v1/models/light/feedback')
  assert.equal(body.items.length, 1)
  assert.equal((await client(api).get('/v1/datasets/photos')).body.version, 4)
})

test('an image that is kept is added to a dataset without being sent again', async (t) => {
  const api = await serving(t, {}, 2 ** 20)
  await datasetOf(api)
  const [first, second] = [await predict(api, 60, 61), await predict(api, 60)]
  const given = { prediction: first, index: 1, label: 'dim', addTo: 'photos' }
  const { body } = await tell(api, given).expect(200)
  assert.deepEqual([body.addedTo.added, body.addedTo.dataset], [1, 'photos'])
  const sha256 = createHash('sha256')
    .update(await flatImage(61))
    .digest('hex')
  assert.equal(body.addedTo.images[0].sha256, sha256)
  assert.equal((await tell(api, given)).body.addedTo.duplicates, 1)
  assert.equal((await readdir(join(api.dataDir, 'kept'))).length, 2)
  const { body: answer } = await client(api)
    .post('/v2/models/light/infer')
    .send({
      parameters: { prediction_id: true },
      inputs: [
        {
          name: 'images',
          datatype: 'BYTES',
          shape: [1],
          data: [(await flatImage(62)).toString('base64')]
        }
      ]
    })
    .expect(200)
  const over = { prediction: answer.parameters.prediction_id, label: 'dim', addTo: 'photos' }
  assert.equal((await tell(api, over)).body.addedTo.added, 1)
  // A file that is damaged or gone is none.
  const kept = createHash('sha256')
    .update(await flatImage(60))
    .digest('hex')
  await writeFile(join(api.dataDir, 'kept', kept), 'something else')
  const damaged = await tell(api, { prediction: second, label: 'dim', addTo: 'photos' })
  assert.match(damaged.text, /not kept/)
  assert.equal(damaged.status, 422)
})

test('feedback needs scope predict, adding to a dataset scope train', async (t) => {
  const api = await serving(t, {
    apiKeys: [apiKey('asks', 'predict'), apiKey('trains', 'train')]
  })
  const asks = showing('asks')
  const request = client(api).post('/v1/models/light/predictions').set(asks)
  const { body } = await request.attach('image', await flatImage(0), 'x.png').expect(200)
  const item = { prediction: body.id, label: 'bright' }
  const url = '/v1/models/light/feedback'
  await client(api).post(url).send(item).expect(401)
  await client(api).post(url).set(asks).send(item).expect(200)
  const add = async (key: string) =>
    client(api)
      .post(url)
      .set(showing(key))
      .field({ ...item, addTo: 'photos' })
      .attach('image', await flatImage(0), 'x.png')
  const refused = await add('asks')
  assert.equal(refused.status, 403)
  assert.match(refused.body.detail, /scope train is needed, received predict/)
  assert.equal((await add('trains')).body.code, 'DATASET_NOT_FOUND')
  await client(api)
    .post(url)
    .set(asks)
    .send({ ...item, addTo: 'photos' })
    .expect(403)
})

test('an inference over /v2 can be fed back if it asked for its id', async (t) => {
  const api = await serving(t)
  const infer = (parameters: object, input: object) =>
    client(api)
      .post('/v2/models/light/infer')
      .send({ id: 'mine', parameters, inputs: [{ name: 'images', ...input }] })
  const pixels = { datatype: 'UINT8', shape: [2, 8, 8, 1], data: new Array(128).fill(255) }
  const plain = await infer({}, pixels).expect(200)
  assert.equal(plain.body.parameters, undefined)
  const asked = await infer({ prediction_id: true, timing: true }, pixels).expect(200)
  assert.equal(asked.body.id, 'mine')
  const { prediction_id, batch_size } = asked.body.parameters
  assert.ok(batch_size >= 1)
  const told = await tell(api, { prediction: prediction_id, index: 1, label: 'dark' }).expect(200)
  assert.deepEqual([told.body.predicted, told.body.correct], ['bright', false])
  const wrong = await infer({ prediction_id: 'yes' }, pixels)
  assert.equal(wrong.status, 400)
  assert.match(wrong.body.error, /prediction_id must be true or false/)
})

test('predictions are forgotten by number and by age; feedback to them stays, and can be changed', async (t) => {
  const api = await serving(t)
  const [first, second] = [await predict(api, 0, 0, 0), await predict(api, 255, 255)]
  await tell(api, { prediction: first, label: 'dark' }).expect(200)
  const few = new PredictionMemory({ db: api.db, days: 7, images: 3 })
  await few.forget()
  const left = await api.db.selectFrom('predictions').select(['id', 'position']).execute()
  assert.deepEqual(
    left.map(({ id, position }) => [id, position]),
    [
      [first, 2],
      [second, 0],
      [second, 1]
    ]
  )
  assert.equal((await tell(api, { prediction: first, index: 1, label: 'dark' })).status, 404)
  const changed = await tell(api, { prediction: first, label: 'bright' }).expect(200)
  assert.equal(changed.body.correct, false)
  const week = 7 * 86_400_000
  await few.forget(new Date(Date.now() + week - 60_000))
  assert.equal((await api.db.selectFrom('predictions').selectAll().execute()).length, 3)
  await few.forget(new Date(Date.now() + week + 1000))
  assert.deepEqual(await api.db.selectFrom('predictions').selectAll().execute(), [])
  // With the model goes what was said of it.
  await client(api).delete('/v1/models/light').expect(204)
  assert.deepEqual(await api.db.selectFrom('feedback').selectAll().execute(), [])
})

test('predictions are written together, and those of a version that was deleted are left out', async (t) => {
  const api = await serving(t)
  const memory = new PredictionMemory({ db: api.db, days: 7, images: 10_000 })
  const answering = { version: 1, variant: 'int8', labels: brightLabels } as const
  const seen = {
    predicted: 1,
    score: 0.75,
    brightness: 0,
    contrast: 0,
    channels: [],
    sha256: 'ab'
  }
  for (let i = 0; i < 700; i += 1) memory.remember({ ...answering, model: 'light' }, [seen, null])
  memory.remember({ ...answering, model: 'gone' }, [seen])
  memory.remember({ ...answering, model: 'light' }, [{ ...seen, score: Number.NaN }])
  memory.remember({ ...answering, model: 'light', version: 9 }, [seen])
  await memory.store()
  const rows = await api.db.selectFrom('predictions').selectAll().execute()
  assert.equal(rows.length, 701)
  const { predicted, score, sha256, position } = rows[0] ?? assert.fail()
  assert.deepEqual([predicted, score, sha256, position], ['bright', 0.75, 'ab', 0])
  const off = new PredictionMemory({ db: api.db, days: 0, images: 10_000 })
  assert.match(off.remember({ ...answering, model: 'light' }, [seen]), /^pred_/)
  await off.store()
  assert.equal((await api.db.selectFrom('predictions').selectAll().execute()).length, 701)
})

test('predictions wait for a catalogue that cannot be written', async (t) => {
  const api = await serving(t)
  const id = await predict(api, 0)
  await api.db.schema.alterTable('predictions').renameTo('elsewhere').execute()
  const failed = await tell(api, { prediction: id, label: 'dark' })
  assert.equal(failed.status, 500)
  await api.db.schema.alterTable('elsewhere').renameTo('predictions').execute()
  await tell(api, { prediction: id, label: 'dark' }).expect(200)
})
