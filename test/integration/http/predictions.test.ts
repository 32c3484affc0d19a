import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32, deflateSync } from 'node:zlib'
import Value from 'typebox/value'
import { type Prediction, PredictionAnswer } from '../../../src/contract/prediction.ts'
import type { Problem } from '../../../src/contract/problem.ts'
import { flatImage } from '../../support/images.ts'
import { type ModelServer, modelServer } from '../../support/model-server.ts'
import { readJson } from '../../support/read-json.ts'

type Labelled = Extract<Prediction, { label: string }>
type Refused = Extract<Prediction, { error: unknown }>

const image = (type: string, body: Uint8Array): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': type },
  body: Uint8Array.from(body)
})

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body)
})

function files(images: readonly Uint8Array[], field = 'image'): RequestInit {
  const form = new FormData()
  for (const [i, bytes] of images.entries()) {
    form.append(field, new Blob([Uint8Array.from(bytes)]), `${i}.png`)
  }
  return { method: 'POST', body: form }
}

const address = ({ url }: ModelServer, query = '') => `${url}/v1/models/light/predictions${query}`

const ask = (server: ModelServer, init: RequestInit, query = '') =>
  fetch(address(server, query), init)

const labels = ({ predictions }: PredictionAnswer) =>
  predictions.map((p: Prediction) => ('label' in p ? p.label : p.error.code))

async function answersRight(server: ModelServer): Promise<void> {
  const answer = await ask(server, image('image/png', await flatImage(255)))
  assert.equal(answer.status, 200)
  assert.deepEqual(labels(await readJson(answer)), ['bright'])
}

test('POST predictions answers an encoded image of every format', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  for (const format of ['png', 'jpeg', 'webp', 'gif'] as const) {
    const response = await ask(server, image(`image/${format}`, await flatImage(0, format)))
    const answer = await readJson<PredictionAnswer>(response)
    assert.equal(response.status, 200)
    assert.ok(Value.Check(PredictionAnswer, answer))
    assert.match(answer.id, /^pred_/)
    assert.deepEqual([answer.model, answer.version, answer.variant], ['light', 1, 'int8'])
    const { label, score, top } = answer.predictions[0] as Labelled
    assert.equal(label, 'dark')
    assert.deepEqual(top[0], { label, score })
    assert.deepEqual(
      top.map((entry) => entry.label),
      ['dark', 'bright']
    )
  }
  const one = await readJson<PredictionAnswer>(
    ask(server, image('image/png', await flatImage(0)), '?top=1')
  )
  assert.equal((one.predictions[0] as Labelled).top.length, 1)
  // The bytes decide what an image is, not its header.
  assert.equal((await ask(server, image('image/jpeg', await flatImage(0)))).status, 200)
})

test('POST predictions answers multipart and JSON, a bad image in its place', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const [dark, bright] = [await flatImage(0), await flatImage(255)]
  const mixed = await ask(server, files([dark, Buffer.from('text'), bright, dark.subarray(0, 50)]))
  assert.equal(mixed.status, 200)
  const answer = await readJson<PredictionAnswer>(mixed)
  assert.ok(Value.Check(PredictionAnswer, answer))
  assert.deepEqual(labels(answer), [
    'dark',
    'IMAGE_FORMAT_UNSUPPORTED',
    'bright',
    'IMAGE_TRUNCATED'
  ])
  assert.equal((answer.predictions[1] as Refused).error.status, 415)
  const many = await ask(
    server,
    files(Array.from({ length: 64 }, (_, i) => (i % 3 ? dark : bright)))
  )
  assert.deepEqual(
    labels(await readJson(many)),
    Array.from({ length: 64 }, (_, i) => (i % 3 ? 'dark' : 'bright'))
  )
  const coded = [bright.toString('base64'), '!!!', dark.toString('base64')]
  const encoded = await ask(server, json({ images: coded.map((b64) => ({ b64 })) }))
  assert.deepEqual(labels(await readJson(encoded)), ['bright', 'REQUEST_INVALID', 'dark'])
})

test('POST predictions follows version, alias and variant', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  await server.publish('job_2')
  const bytes = await flatImage(0)
  const answering = async (query: string) => {
    const { version, variant, code } = await readJson<PredictionAnswer & { code?: string }>(
      ask(server, image('image/png', bytes), query)
    )
    return code ?? `${version} ${variant}`
  }
  assert.equal(await answering(''), '1 int8')
  assert.equal(await answering('?version=2'), '2 int8')
  assert.equal(await answering('?version=2&variant=baseline'), '2 baseline')
  assert.equal(await answering('?alias=production&variant=baseline'), '1 baseline')
  assert.equal(await answering('?alias=none'), 'ALIAS_NOT_FOUND')
  assert.equal(await answering('?version=9'), 'VERSION_NOT_FOUND')
  assert.equal(await answering('?variant=pruned'), 'VARIANT_NOT_FOUND')
  assert.equal(await answering('?version=1&alias=production'), 'REQUEST_INVALID')
  for (const query of ['?top=0', '?top=x', '?variant=no', '?size=1', '?alias=A']) {
    assert.equal(await answering(query), 'REQUEST_INVALID', query)
  }
  await fetch(`${server.url}/v1/models/light/aliases/production`, {
    ...json({ version: 2 }),
    method: 'PUT'
  })
  assert.equal(await answering(''), '2 int8')
})

test('POST predictions refuses hostile bodies and goes on', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const good = await flatImage(0)
  const b64 = good.toString('base64')
  const cases: readonly (readonly [string, RequestInit, number, string])[] = [
    ['no body', { method: 'POST' }, 415, 'MEDIA_TYPE_UNSUPPORTED'],
    ['text', image('text/plain', good), 415, 'MEDIA_TYPE_UNSUPPORTED'],
    ['form', image('application/x-www-form-urlencoded', good), 415, 'MEDIA_TYPE_UNSUPPORTED'],
    ['odd type', image('image', good), 415, 'MEDIA_TYPE_UNSUPPORTED'],
    ['empty', image('image/png', Buffer.alloc(0)), 422, 'REQUEST_INVALID'],
    ['no image', image('image/png', Buffer.from('hello')), 415, 'IMAGE_FORMAT_UNSUPPORTED'],
    ['truncated', image('image/png', good.subarray(0, 40)), 422, 'IMAGE_TRUNCATED'],
    ['bomb', image('image/png', pngBomb()), 422, 'IMAGE_TOO_LARGE'],
    [
      'too many bytes',
      image('image/png', Buffer.alloc(20 * 2 ** 20 + 1)),
      413,
      'REQUEST_TOO_LARGE'
    ],
    ['no JSON', json('{"images": ['), 400, 'REQUEST_MALFORMED'],
    ['no images', json({}), 422, 'REQUEST_INVALID'],
    ['no list', json({ images: b64 }), 422, 'REQUEST_INVALID'],
    ['none', json({ images: [] }), 422, 'REQUEST_INVALID'],
    ['65 in JSON', json({ images: Array(65).fill({ b64 }) }), 422, 'REQUEST_INVALID'],
    ['a million objects', json(`[${'{},'.repeat(1e6)}{}]`), 413, 'REQUEST_TOO_LARGE'],
    ['no base64', json({ images: [{ b64: 'a*b=' }] }), 422, 'REQUEST_INVALID'],
    ['unpadded', json({ images: [{ b64: 'abc' }] }), 422, 'REQUEST_INVALID'],
    [
      'data URL',
      json({ images: [{ b64: `data:image/png;base64,${b64}` }] }),
      422,
      'REQUEST_INVALID'
    ],
    ['65 files', files(Array(65).fill(good)), 413, 'REQUEST_TOO_LARGE'],
    ['other field', files([good], 'file'), 422, 'REQUEST_INVALID'],
    ['no file', files([]), 422, 'REQUEST_INVALID'],
    ['empty file', files([Buffer.alloc(0)]), 415, 'IMAGE_FORMAT_UNSUPPORTED'],
    ['no boundary', image('multipart/form-data', good), 400, 'REQUEST_MALFORMED'],
    ['wrong boundary', image('multipart/form-data; boundary=x', good), 400, 'REQUEST_MALFORMED']
  ]
  for (const [name, init, status, code] of cases) {
    const response = await ask(server, init)
    const problem = await readJson<Problem>(response)
    assert.deepEqual([response.status, problem.code], [status, code], `${name}: ${problem.detail}`)
    assert.equal(response.headers.get('content-type'), 'application/problem+json', name)
    await answersRight(server)
  }
  assert.equal(server.engines.status.crashes, 0)
})

test('POST predictions survives clients that go away half-way', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const send = async (lines: readonly string[], { half }: { half: 'end' | 'destroy' }) => {
    const socket = connect(server.port, '127.0.0.1')
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.write(lines.join('\r\n'))
    await sleep(50)
    socket[half]()
    await new Promise((resolve) => socket.once('close', resolve))
    assert.doesNotMatch(received, /^HTTP\/1.1 (2|5)/)
    await answersRight(server)
  }
  const start = 'POST /v1/models/light/predictions HTTP/1.1'
  const multipart = [
    start,
    'host: x',
    'content-type: multipart/form-data; boundary=b',
    'content-length: 5000',
    '',
    '--b',
    'content-disposition: form-data; name="image"; filename="a.png"',
    '',
    'half'
  ]
  const body = [start, 'host: x', 'content-type: image/png', 'content-length: 500', '', 'half']
  const chunked = [
    start,
    'host: x',
    'content-type: image/png',
    'transfer-encoding: chunked',
    '',
    '5',
    'half'
  ]
  for (const lines of [multipart, body, chunked]) {
    await send(lines, { half: 'destroy' })
    await send(lines, { half: 'end' })
  }
})

test('POST predictions gives up on bodies that do not arrive', async (t) => {
  const server = await modelServer(t, { arrivalMs: 300 })
  await server.publish('job_1')
  for (const type of ['image/png', 'application/json', 'multipart/form-data; boundary=b']) {
    const socket = connect(server.port, '127.0.0.1')
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    const head = `POST /v1/models/light/predictions HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}`
    socket.write(`${head}\r\ncontent-length: 6000000\r\n\r\n--b`)
    await new Promise((resolve) => socket.once('close', resolve))
    assert.match(received, /^HTTP\/1.1 408 .*"code":"REQUEST_TIMEOUT"/s)
    await answersRight(server)
  }
})

test('POST predictions ends a multipart body without its last boundary with 400', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const unfinished = '--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nhalf'
  const response = await ask(
    server,
    image('multipart/form-data; boundary=b', Buffer.from(unfinished))
  )
  assert.deepEqual(
    [response.status, (await readJson<Problem>(response)).code],
    [400, 'REQUEST_MALFORMED']
  )
  await answersRight(server)
})

test('POST predictions answers 429 with Retry-After when the line is full', async (t) => {
  const server = await modelServer(t, { places: 8 })
  await server.publish('job_1')
  const init = files(Array(8).fill(await flatImage(0)))
  const responses = await Promise.all(Array.from({ length: 6 }, () => ask(server, init)))
  const refused = responses.filter(({ status }) => status === 429)
  assert.ok(refused.length > 0)
  assert.ok(refused.every(({ headers }) => Number(headers.get('retry-after')) >= 1))
  assert.ok(responses.some(({ status }) => status === 200))
  assert.ok(responses.every(({ status }) => status === 200 || status === 429))
  await answersRight(server)
})

test('a swap of the alias under load drops no request', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  await server.publish('job_2')
  const bytes = await flatImage(255)
  const versions = new Set<number>()
  let isSwapping = true
  const client = async () => {
    for (let i = 0; isSwapping || i < 30; i++) {
      const response = await ask(server, image('image/png', bytes))
      assert.equal(response.status, 200)
      const answer = await readJson<PredictionAnswer>(response)
      assert.deepEqual(labels(answer), ['bright'])
      versions.add(answer.version)
    }
  }
  const swap = async () => {
    for (const version of [2, 1, 2]) {
      await sleep(20)
      const init = { ...json({ version }), method: 'PUT' }
      await fetch(`${server.url}/v1/models/light/aliases/production`, init)
    }
    await sleep(20)
    isSwapping = false
  }
  await Promise.all([swap(), client(), client(), client()])
  assert.deepEqual([...versions].sort(), [1, 2])
})

test('an alias moves to a version that has been loaded before', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  await server.publish('job_2')
  await server.publish('job_3')
  const loaded = () =>
    server.engines.status.models
      .filter(({ engines }) => engines > 0)
      .map(({ serves }) => [serves.version, serves.variant])
  const move = (method: string, path: string, body: unknown) =>
    fetch(`${server.url}/v1/models/light/aliases/${path}`, { ...json(body), method })
  assert.deepEqual(loaded(), [])
  await move('PUT', 'production', { version: 2 })
  assert.deepEqual(loaded(), [[2, 'int8']])
  const promoted = await move('POST', 'production/promote', { version: 3, variant: 'baseline' })
  assert.equal(promoted.status, 200)
  assert.deepEqual(loaded().at(-1), [3, 'baseline'])
  assert.equal((await move('PUT', 'production', { version: 9 })).status, 422)
})

/** A valid head of a PNG of 60,000 by 60,000 pixels, from a few bytes. */
function pngBomb(): Buffer {
  const side = Buffer.alloc(4)
  side.writeUInt32BE(60_000)
  const data = Buffer.concat([Buffer.from('IHDR'), side, side, Buffer.from([8, 0, 0, 0, 0])])
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk(data),
    chunk(Buffer.concat([Buffer.from('IDAT'), deflateSync(Buffer.alloc(100_000))])),
    chunk(Buffer.from('IEND'))
  ])
}

function chunk(typed: Buffer): Buffer {
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(typed.length - 4)
  crc.writeUInt32BE(crc32(typed))
  return Buffer.concat([length, typed, crc])
}
