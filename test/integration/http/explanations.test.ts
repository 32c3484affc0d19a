import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import Value from 'typebox/value'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { Explanation } from '../../../src/contract/explanation.ts'
import { writeNetwork, writeWeights } from '../../../src/network/document.ts'
import type { Network } from '../../../src/network/graph.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { apiApp } from '../../support/api-app.ts'
import { isRunning, processesOf } from '../../support/processes.ts'
import { publication } from '../../support/publication.ts'
import { quadrantLabels, quadrantNetwork, quadrantWeights } from '../../support/quadrant-network.ts'
import { until } from '../../support/until.ts'

const input = { architecture: 'simple-cnn', inputSize: 8, channels: 1, resize: 'stretch' } as const

/** Looks at the top left quarter and at nothing else: class 1 is `lit`. */
const masked: Network = {
  ...quadrantNetwork,
  nodes: [
    { id: 'flat', op: 'flatten', inputs: ['images'], attrs: {}, params: {} },
    {
      id: 'logits',
      op: 'dense',
      inputs: ['flat'],
      attrs: {},
      params: { kernel: { name: 'logits/kernel', shape: [64, 2] } }
    },
    { id: 'probabilities', op: 'softmax', inputs: ['logits'], attrs: {}, params: {} }
  ]
}
const maskedKernel = Float32Array.from({ length: 128 }, (_, i) => {
  const pixel = i >> 1
  if (pixel % 8 >= 4 || pixel >= 32) return 0
  return i % 2 === 0 ? -0.2 : 0.2
})

type Files = Readonly<Record<string, string | Uint8Array>>

/** An api with `masked` (ONNX files alone, as of a model made elsewhere) and `trained` (with its graph). */
async function scene(t: TestContext) {
  const api = await apiApp(t)
  const publish = async (model: string, files: Files) => {
    const artifacts = await Promise.all(
      Object.entries(files).map(async ([file, content]) => ({
        file,
        mediaType: 'application/octet-stream',
        ...(await api.blobs.put(Buffer.from(content)))
      }))
    )
    const wanted = publication(`job_${model}`, { network: input, labels: quadrantLabels })
    await api.db
      .transaction()
      .execute((trx) => publishVersion(trx, { ...wanted, model, artifacts }))
  }
  const weights = new Map([['logits/kernel', maskedKernel]])
  const onnx = (variant: string) => exportOnnx({ network: masked, weights, metadata: { variant } })
  await publish('masked', { 'baseline.onnx': onnx('baseline'), 'int8.onnx': onnx('int8') })
  const trained = exportOnnx({ network: quadrantNetwork, weights: quadrantWeights, metadata: {} })
  await publish('trained', {
    'baseline.onnx': trained,
    'int8.onnx': trained,
    'graph.json': writeNetwork(quadrantNetwork),
    'weights.safetensors': writeWeights(quadrantNetwork, quadrantWeights)
  })
  const post = (path: string, image: Buffer = bright, headers: Record<string, string> = {}) =>
    supertest(api.app.server)
      .post(`/v1/models/${path}`)
      .set({ 'content-type': 'image/png', ...headers })
      .send(image)
  return { ...api, post }
}

const png = (level: (x: number, y: number) => number): Promise<Buffer> =>
  sharp(
    Uint8Array.from({ length: 64 }, (_, i) => level(i % 8, i >> 3)),
    { raw: { width: 8, height: 8, channels: 1 } }
  )
    .png()
    .toBuffer()

/** Bright in the top left, and nearly as bright everywhere else but at the bottom. */
const bright = await png((x, y) => (x < 4 && y < 4 ? 255 : y > 5 ? 0 : 220))

test('occlusion finds the quarter that the class depends on', async (t) => {
  const { post } = await scene(t)
  for (const variant of ['baseline', 'int8']) {
    const { status, body } = await post(`masked/explanations?variant=${variant}`)
    assert.equal(status, 200, JSON.stringify(body))
    assert.ok(Value.Check(Explanation, body), JSON.stringify(body))
    const { model, version, label, method, score, shape, matrix, raw } = body
    const at = (map: number[][], x: number, y: number): number => map[y]?.[x] ?? Number.NaN
    assert.deepEqual([model, version, label, method], ['masked', 1, 'lit', 'occlusion'])
    assert.match(body.id, /^exp_/)
    assert.equal(body.variant, variant)
    assert.ok(score > 0.9 && score <= 1)
    assert.deepEqual(shape, [8, 8])
    assert.equal(Math.max(...matrix.flat()), 1)
    for (let i = 0; i < 64; i++) {
      const [x, y] = [i % 8, i >> 3]
      if (x > 4 || y > 4) assert.ok(Math.abs(at(raw, x, y)) < 1e-5, `${x}, ${y}`)
      if (x < 3 && y < 3) assert.ok(at(matrix, x, y) > 0.3, `${x}, ${y}`)
    }
    const { width, format } = await sharp(Buffer.from(body.overlay, 'base64')).metadata()
    assert.deepEqual([width, format], [224, 'png'])
  }
  const { body: other } = await post('masked/explanations?label=unlit')
  assert.equal(other.label, 'unlit')
  assert.ok(other.score < 0.1 && other.raw[1][1] < 0)
  assert.deepEqual(new Set(other.matrix.flat().slice(0, 3)), new Set([0]))
})

test('whoever accepts a picture is sent the overlay', async (t) => {
  const { post } = await scene(t)
  const answer = await post('masked/explanations', bright, { accept: 'image/png' })
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'image/png'])
  const { data, info } = await sharp(answer.body).raw().toBuffer({ resolveWithObject: true })
  const redness = (x: number, y: number) => {
    const at = (y * info.width + x) * info.channels
    return (data[at] ?? 0) - (data[at + 2] ?? 0)
  }
  assert.ok(redness(40, 40) > 60 && redness(200, 60) < 5 && redness(60, 200) < 5)
})

test('grad-cam explains by the float graph, where there is one', async (t) => {
  const { post } = await scene(t)
  const { status, body } = await post('trained/explanations?method=grad-cam&variant=baseline')
  assert.equal(status, 200, JSON.stringify(body))
  assert.deepEqual([body.method, body.shape, body.label], ['grad-cam', [4, 4], 'lit'])
  assert.equal(body.matrix[0][0], 1)
  assert.ok(body.matrix[3][3] < 0.1)
  for (const path of [
    'trained/explanations?variant=int8',
    'masked/explanations?variant=baseline'
  ]) {
    const refused = await post(`${path}&method=grad-cam`)
    assert.equal(refused.status, 422)
    assert.equal(refused.body.errors[0].pointer, '/method')
    assert.match(refused.body.errors[0].detail, /^must be occlusion for variant (int8|baseline)/)
  }
})

test('what is wrong with a request is named', async (t) => {
  const { post, app } = await scene(t)
  const faults: [path: string, status: number, code: string][] = [
    ['nothing/explanations', 404, 'MODEL_NOT_FOUND'],
    ['masked/explanations?version=2', 404, 'VERSION_NOT_FOUND'],
    ['masked/explanations?variant=pruned', 404, 'VARIANT_NOT_FOUND'],
    ['masked/explanations?alias=staging', 404, 'ALIAS_NOT_FOUND'],
    ['masked/explanations?alias=production&version=1', 422, 'REQUEST_INVALID'],
    ['masked/explanations?label=dog', 422, 'REQUEST_INVALID'],
    ['masked/explanations?label=', 422, 'REQUEST_INVALID'],
    ['masked/explanations?method=lime', 422, 'REQUEST_INVALID'],
    ['masked/explanations?top=3', 422, 'REQUEST_INVALID']
  ]
  for (const [path, status, code] of faults) {
    const { body, ...answer } = await post(path)
    assert.deepEqual([answer.status, body.code], [status, code], path)
  }
  const { body } = await post('masked/explanations?label=dog')
  assert.deepEqual(body.errors[0], {
    pointer: '/label',
    detail: 'must be a label of version 1: unlit, lit',
    received: 'dog'
  })
  const images: [image: Buffer, type: string, status: number, code: string][] = [
    [Buffer.from(''), 'image/png', 422, 'REQUEST_INVALID'],
    [Buffer.from('no image at all'), 'image/png', 415, 'IMAGE_FORMAT_UNSUPPORTED'],
    [bright.subarray(0, 60), 'image/png', 422, 'IMAGE_TRUNCATED'],
    [bright, 'text/plain', 415, 'MEDIA_TYPE_UNSUPPORTED'],
    [Buffer.from('{}'), 'application/json', 422, 'REQUEST_INVALID']
  ]
  for (const [image, type, status, code] of images) {
    const answer = await post('masked/explanations', image, { 'content-type': type })
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body))
  }
  const several = await supertest(app.server)
    .post('/v1/models/masked/explanations')
    .attach('image', bright, 'a.png')
    .attach('image', bright, 'b.png')
  assert.deepEqual([several.status, several.body.errors[0].received], [422, 2])
  const one = await supertest(app.server)
    .post('/v1/models/masked/explanations')
    .attach('image', bright, 'a.png')
  assert.equal(one.body.label, 'lit')
})

test('a client that hangs up ends the process that works for it', async (t) => {
  const { app } = await scene(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const asked = fetch(`${url}/v1/models/masked/explanations`, {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: new Blob([new Uint8Array(bright)]),
    signal: leaving.signal
  })
  const refused = assert.rejects(asked, { name: 'AbortError' })
  const explaining = () =>
    processesOf(process.pid).find(({ command }) => command.includes('explain/explainer.ts'))?.pid
  await until(() => explaining() !== undefined)
  const pid = explaining()
  assert.ok(pid !== undefined)
  process.kill(pid, 'SIGSTOP') // so that it cannot end by itself
  leaving.abort()
  await refused
  await until(() => !isRunning(pid))
})
