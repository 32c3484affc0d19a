/** Models made elsewhere: taken, served, described, moved and deleted like those that jobs publish. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import Value from 'typebox/value'
import { Model, ModelVersion } from '../../../src/contract/model.ts'
import { measureLatency } from '../../../src/infer/measure.ts'
import { machine } from '../../../src/runtime/machine.ts'
import { openSession } from '../../../src/runtime/session.ts'
import { type ApiApp, apiApp } from '../../support/api-app.ts'
import {
  fixture,
  integer,
  integerList,
  measured,
  node,
  oddModel,
  runAsItIs,
  send,
  softmax,
  tensor,
  threeLabels,
  torchForm
} from '../../support/foreign-models.ts'
import { apiKey, showing } from '../../support/keys.ts'

type Options = Parameters<typeof apiApp>

async function listening(
  t: TestContext,
  settings: Options[1] = {},
  changes: Options[2] = {},
  surroundings: Options[3] = {}
): Promise<ApiApp> {
  const api = await apiApp(t, settings, { measureLatency: measured, ...changes }, surroundings)
  // Without this, supertest would listen anew for every request.
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  return api
}

const get = ({ app }: Pick<ApiApp, 'app'>, path: string) => supertest(app.server).get(path)

/** A picture of 16x16 pixels in many colours, more red than blue. */
async function picture(): Promise<{ readonly png: Buffer; readonly pixels: Uint8Array }> {
  const pixels = Uint8Array.from(
    { length: 16 * 16 * 3 },
    (_, i) => 200 - 90 * (i % 3) + ((i * 37) % 50)
  )
  const png = await sharp(pixels, { raw: { width: 16, height: 16, channels: 3 } })
    .png()
    .toBuffer()
  return { png, pixels }
}

const predict = ({ app }: Pick<ApiApp, 'app'>, png: Buffer, query = '') =>
  supertest(app.server)
    .post(`/v1/models/animals/predictions${query}`)
    .set('content-type', 'image/png')
    .send(png)

/** Scores by class index, from a prediction of all classes. */
const scoresOf = (body: { predictions: [{ top: { label: string; score: number }[] }] }): number[] =>
  threeLabels.map(
    (label) => body.predictions[0].top.find((one) => one.label === label)?.score ?? -1
  )

function assertClose(received: readonly number[], expected: readonly number[]): void {
  assert.equal(received.length, expected.length)
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs((received[i] ?? Number.NaN) - value) < 1e-5, `${received} ${expected}`)
  }
}

test('a model made elsewhere is published, described and listed', async (t) => {
  const api = await listening(t, {}, { measureLatency })
  const file = await fixture('torch-like')
  const made = await send(api, file)
  assert.equal(made.status, 201, made.text)
  assert.equal(made.headers.location, '/v1/models/animals/versions/1')
  assert.ok(Value.Check(ModelVersion, made.body))
  const version: ModelVersion = made.body
  const { job, dataset, labels, network, recommended, source } = version
  assert.deepEqual([job, dataset, labels, recommended], [null, null, threeLabels, 'baseline'])
  assert.deepEqual(network, {
    architecture: 'onnx',
    inputSize: 16,
    channels: 3,
    resize: 'stretch'
  })
  assert.deepEqual([source?.producer, source?.opset, source?.layout], ['pytorch 2.9.1', 17, 'nchw'])
  const { baseline } = version.variants
  assert.ok(baseline !== undefined)
  assert.deepEqual([baseline.accuracy, baseline.versusBaseline, baseline.macs], [null, null, null])
  assert.equal(baseline.parameters, 4 * 3 * 9 + 4 + 3 * 4 + 3)
  assert.ok(baseline.latency.medianMs > 0)
  assert.deepEqual(baseline.latency.machine, machine())
  assert.deepEqual((await get(api, made.headers.location)).body, made.body)
  const { body: model } = await get(api, '/v1/models/animals')
  assert.ok(Value.Check(Model, model))
  assert.equal(model.versions[0]?.accuracy, null)
  assert.deepEqual(model.aliases, [
    { alias: 'production', targets: [{ version: 1, variant: 'baseline', share: 1 }] }
  ])
  assert.deepEqual(
    made.body.artifacts.map((one: { file: string }) => one.file),
    ['baseline.onnx', 'labels.json', 'source.onnx']
  )
  const artifact = (name: string) =>
    get(api, `/v1/models/animals/versions/1/artifacts/${name}`).responseType('blob')
  assert.deepEqual((await artifact('source.onnx')).body, file)
  assert.deepEqual(JSON.parse(String((await artifact('labels.json')).body)), threeLabels)
  const session = await openSession((await artifact('baseline.onnx')).body, { threads: 1 })
  assert.deepEqual([session.inputShape, session.outputNames], [[16, 16, 3], ['probabilities']])
  await session.release()
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
})

test('it predicts what ONNX Runtime says of the sent file on pixels prepared by hand', async (t) => {
  const api = await listening(t)
  const file = await fixture('torch-like')
  const { png, pixels } = await picture()
  const prepared = (swap: boolean) => {
    const [mean, std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225]
    ]
    // [n, c, h, w] of [h, w, c]
    const data = Float32Array.from({ length: 3 * 256 }, (_, i) => {
      const channel = Math.floor(i / 256)
      const pixel = pixels[(i % 256) * 3 + (swap ? 2 - channel : channel)] ?? 0
      return (pixel / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1)
    })
    return { data, dims: [1, 3, 16, 16] }
  }
  assert.equal((await send(api, file)).status, 201)
  const expected = softmax(await runAsItIs(file, prepared(false)))
  assertClose(scoresOf((await predict(api, png, '?top=3')).body), expected)

  const bgr = {
    ...torchForm,
    input: JSON.stringify({ ...JSON.parse(torchForm.input), order: 'bgr' })
  }
  assert.equal((await send(api, file, { ...bgr, alias: 'canary' })).status, 201)
  const swapped = softmax(await runAsItIs(file, prepared(true)))
  assert.ok(Math.abs((swapped[0] ?? 0) - (expected[0] ?? 0)) > 1e-3)
  assertClose(scoresOf((await predict(api, png, '?top=3&alias=canary')).body), swapped)
  assertClose(scoresOf((await predict(api, png, '?top=3')).body), expected)

  const tensor = { name: 'images', datatype: 'UINT8', shape: [2, 16, 16, 3] }
  const { body } = await supertest(api.app.server)
    .post('/v2/models/animals/versions/1/infer')
    .send({ inputs: [{ ...tensor, data: [...pixels, ...pixels] }] })
  assertClose(body.outputs[0].data, [...expected, ...expected])
  const { body: metadata } = await get(api, '/v2/models/animals')
  assert.deepEqual(metadata.inputs[0].shape, [-1, 16, 16, 3])
  const { body: config } = await get(api, '/v2/models/animals/config')
  assert.deepEqual(config.output[0].dims, [3])
})

test('channels last, of any size, with probabilities: as another exporter writes them', async (t) => {
  const api = await listening(t)
  const file = await fixture('keras-like')
  const fields = {
    labels: threeLabels.join('\n'),
    outputs: 'probabilities',
    resize: 'cover',
    input: JSON.stringify({ scale: 1 / 127.5, mean: 1, size: 16 })
  }
  const made = await send(api, file, fields)
  assert.equal(made.status, 201, made.text)
  assert.deepEqual(made.body.network, {
    architecture: 'onnx',
    inputSize: 16,
    channels: 3,
    resize: 'cover'
  })
  const { png, pixels } = await picture()
  const data = Float32Array.from(pixels, (pixel) => pixel / 127.5 - 1)
  const expected = await runAsItIs(file, { data, dims: [1, 16, 16, 3] })
  assertClose(scoresOf((await predict(api, png, '?top=3')).body), [...expected])
})

test('a batch of one is freed where it is free in truth, and refused where it is not', async (t) => {
  const api = await listening(t)
  const freed = await send(api, await fixture('batch-of-one'))
  assert.equal(freed.status, 201, freed.text)
  const { pixels } = await picture()
  const { body } = await supertest(api.app.server)
    .post('/v2/models/animals/infer')
    .send({
      inputs: [
        {
          name: 'images',
          datatype: 'UINT8',
          shape: [3, 16, 16, 3],
          data: [...pixels, ...pixels, ...pixels]
        }
      ]
    })
  assert.deepEqual(body.outputs[0].shape, [3, 3])
  const held = await send(api, await fixture('reshape-to-one'))
  assert.deepEqual([held.status, held.body.code], [422, 'MODEL_UNSUPPORTED'])
  assert.match(held.body.detail, /its batch must be free: it answers one image, but not 2 together/)
})

test('grey, uint8 and a variant of another name; the fields may come before the file', async (t) => {
  const api = await listening(t)
  // Both scores are the mean of the pixels, the second one less.
  const file = oddModel({
    type: 2,
    dims: ['n', 16, 16, 1],
    outputDims: ['n', 2],
    tensors: [tensor('two', [1, 2], new Uint8Array(Float32Array.of(1, 0.5).buffer))],
    nodes: [
      node('Cast', ['x'], ['f'], (cast) => cast.message(5, integer('to', 1))),
      node('ReduceMean', ['f'], ['m'], (mean) =>
        mean.message(5, integerList('axes', [1, 2])).message(5, integer('keepdims', 0))
      ),
      node('MatMul', ['m', 'two'], ['y'])
    ]
  })
  const request = supertest(api.app.server).post('/v1/models/grey/versions')
  const made = await request
    .field('variant', 'int8')
    .field('outputs', 'logits')
    .field('input', JSON.stringify({ order: 'rgb' }), { contentType: 'application/json' })
    .attach('labels', Buffer.from('\uFEFFeven\r\nodd\r\n'), 'labels.txt')
    .attach('file', Buffer.from(file), 'a.onnx')
  assert.equal(made.status, 201, made.text)
  assert.deepEqual(made.body.labels, ['even', 'odd'])
  assert.deepEqual([made.body.recommended, made.body.network.channels], ['int8', 1])
  assert.deepEqual(
    made.body.artifacts.map((one: { file: string }) => one.file),
    ['int8.onnx', 'labels.json', 'source.onnx']
  )
})

test('a version made elsewhere goes like any other: aliases, deletion, its files', async (t) => {
  const api = await listening(t)
  for (const n of [1, 2]) {
    const made = await send(api, await fixture('torch-like'))
    assert.equal(made.body.version, n, made.text)
  }
  const model = '/v1/models/animals'
  const put = await supertest(api.app.server).put(`${model}/aliases/next`).send({ version: 2 })
  assert.equal(put.status, 201)
  const remove = (path: string) => supertest(api.app.server).delete(`${model}${path}`)
  assert.equal((await remove('/versions/2')).status, 409)
  assert.equal((await remove('/aliases/next')).status, 204)
  assert.equal((await remove('/versions/2')).status, 204)
  const used = () => Array.fromAsync(api.blobs.list())
  assert.equal((await used()).length, 3)
  assert.equal((await remove('')).status, 204)
  assert.deepEqual(await used(), [])
})

test('the same request with the same key publishes once', async (t) => {
  const api = await listening(t)
  const file = await fixture('torch-like')
  const post = (fields = torchForm) => send(api, file, fields).set('idempotency-key', 'k')
  const first = await post()
  assert.equal(first.status, 201, first.text)
  const again = await post()
  assert.deepEqual([again.status, again.body], [201, first.body])
  assert.equal(again.headers['idempotency-replayed'], 'true')
  assert.equal(again.headers.location, first.headers.location)
  const other = await post({ ...torchForm, labels: '["a","b","c"]' })
  assert.equal(other.body.code, 'IDEMPOTENCY_KEY_REUSED')
  assert.equal((await get(api, '/v1/models/animals')).body.versions.length, 1)
})

test('its files count for the key that sent it, and what is too much is not kept', async (t) => {
  const apiKeys = [apiKey('one', 'train'), apiKey('asks', 'predict')]
  const api = await listening(t, { apiKeys, keyLimits: { bytesStored: 5000 } })
  const post = (key: string, file: Uint8Array) => send(api, file).set(showing(key))
  assert.equal((await post('asks', await fixture('torch-like'))).status, 403)
  assert.equal((await post('one', await fixture('torch-like'))).status, 201)
  const stored = async () => (await Array.fromAsync(api.blobs.list())).map(({ sha256 }) => sha256)
  const before = await stored()
  // Its announced length is within the quota; with what is made of it, it is not.
  const refused = await post('one', await fixture('batch-of-one'))
  assert.deepEqual([refused.status, refused.body.code], [429, 'QUOTA_EXCEEDED'])
  assert.match(refused.body.detail, /Cannot store the model's files: .* allows 5000 bytes/)
  assert.deepEqual(await stored(), before)
  const { body } = await get(api, '/v1/models/animals').set(showing('one'))
  assert.equal(body.versions.length, 1)
})

test('without room on the disk it is refused before it is read', async (t) => {
  const api = await listening(t, {}, {}, { disk: { space: async () => ({ free: 0, size: 1e9 }) } })
  const refused = await send(api, await fixture('torch-like'))
  assert.deepEqual([refused.status, refused.body.code], [507, 'DISK_FULL'])
  assert.deepEqual(await Array.fromAsync(api.blobs.list()), [])
})

test('nothing is published of a request whose sender has gone', async (t) => {
  const leaving = new AbortController()
  const api = await listening(
    t,
    {},
    {
      measureLatency: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
          leaving.abort()
        })
    }
  )
  const address = api.app.server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const body = new FormData()
  for (const [name, value] of Object.entries(torchForm)) body.append(name, value)
  body.append('file', new Blob([new Uint8Array(await fixture('torch-like'))]), 'a.onnx')
  const url = `http://127.0.0.1:${address.port}/v1/models/animals/versions`
  await assert.rejects(fetch(url, { method: 'POST', body, signal: leaving.signal }))
  // The next one is taken only when the first has ended.
  assert.equal((await send(api, oddModel({ opset: null }))).status, 422)
  assert.equal((await get(api, '/v1/models/animals')).status, 404)
})
