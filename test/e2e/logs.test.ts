/** What a whole whittle logs at its most talkative: one object a line, told apart by ids, and nothing secret. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyDigest } from '../../src/contract/key.ts'
import { flatImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { webhookReceiver } from '../support/webhook-receiver.ts'
import { type Json, shapesZip, startWhittle } from '../support/whittle.ts'

const keys = {
  plain: 'plain-key-that-nobody-may-read',
  digested: 'digested-key-that-nobody-may-read',
  predict: 'predict-key-that-nobody-may-read'
}
const workerToken = 'worker-token-that-nobody-may-read'
const webhookSecret = `whsec_${Buffer.alloc(32, 'w').toString('base64')}`
const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 1, batchSize: 16, learningRate: 0.05 },
  quantize: { images: 16 }
}

type Line = Readonly<Record<string, unknown>>

/** Of workers, what is about themselves. */
const ofTheWorker = /^(engine|ready|ending|cache cut back|draining.*|takes jobs again)$|connection/

test('the log is an object a line with ids, and tells no images, keys, tokens or secrets', async (t) => {
  const receiver = await webhookReceiver(t)
  const digest = keyDigest(keys.digested).toString('hex')
  const whittle = await startWhittle(t, undefined, {
    WHITTLE_LOG_LEVEL: 'trace',
    WHITTLE_API_KEYS: `admin:${keys.plain},train:sha256:${digest},predict:${keys.predict}`,
    WHITTLE_WORKER_TOKEN: workerToken,
    WHITTLE_WEBHOOK_SECRET: webhookSecret,
    WHITTLE_WEBHOOK_TARGETS: 'any'
  })
  let requests = 0
  const send = async (path: string, init: RequestInit = {}, key: string = keys.plain) => {
    requests += 1
    const ids = { authorization: `Bearer ${key}`, 'x-request-id': `request-${requests}` }
    const headers = { ...ids, ...(init.headers as Record<string, string>) }
    const answer = await fetch(`${whittle.url}${path}`, { ...init, headers })
    const text = await answer.text()
    return { status: answer.status, body: (text === '' ? null : JSON.parse(text)) as Json }
  }
  const json = (body: unknown, method = 'POST'): RequestInit => ({
    method,
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  })
  const image = (bytes: Uint8Array): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: Uint8Array.from(bytes)
  })
  const expectStatus = async (status: number, asked: ReturnType<typeof send>) => {
    const { status: received, body } = await asked
    assert.equal(received, status, JSON.stringify(body))
    return body
  }

  const zip = await shapesZip({ seed: 1, perClass: 20 })
  const upload = (name: string, file: Uint8Array<ArrayBuffer>): RequestInit => {
    const form = new FormData()
    form.set('name', name)
    form.set('file', new Blob([file]), 'shapes.zip')
    return { method: 'POST', body: form }
  }
  await expectStatus(202, send('/v1/datasets', upload('shapes', zip), keys.digested))
  await expectStatus(202, send('/v1/datasets', upload('cut', zip.subarray(0, 500))))
  await until(async () => (await send('/v1/datasets/shapes')).body.status === 'ready')
  await until(async () => (await send('/v1/datasets/cut')).body.status === 'failed')

  const job = { dataset: 'shapes', model: 'shapes', recipe, webhook: { url: receiver.url } }
  const posted = await expectStatus(202, send('/v1/jobs', json(job), keys.digested))
  const refused = { ...job, webhook: { url: 'ftp://me:password-in-the-url@host/?token=hidden' } }
  await expectStatus(422, send('/v1/jobs', json(refused)))
  await expectStatus(401, send('/v1/jobs', json(job), 'wrong-key-that-nobody-may-read'))
  await expectStatus(403, send('/v1/jobs', json(job), keys.predict))
  const made = await expectStatus(201, send('/v1/keys', json({ name: 'made', scope: 'predict' })))
  const minted: string = made.key
  assert.ok(minted.length > 20)

  await until(async () => {
    const { body } = await send(`/v1/jobs/${posted.id}`)
    assert.notEqual(body.state, 'failed', JSON.stringify(body.error))
    return body.state === 'completed'
  })
  await until(() => receiver.received.length > 0)

  const picture = await flatImage(123, 'png', 40)
  const b64 = picture.toString('base64')
  const predictions = '/v1/models/shapes/predictions'
  await expectStatus(200, send(predictions, image(picture), minted))
  await expectStatus(200, send(predictions, json({ images: [{ b64 }] }), keys.predict))
  await expectStatus(415, send(predictions, image(Buffer.from('text-in-place-of-an-image'))))
  await expectStatus(422, send(predictions, image(picture.subarray(0, 60))))
  await expectStatus(400, send(predictions, json(`{"images":[{"b64":"${b64}"`)))
  await expectStatus(422, send(predictions, json({ images: b64 })))
  await expectStatus(422, send(`${predictions}?secret=in-the-query`, image(picture)))
  const bytes = { name: 'images', datatype: 'BYTES', shape: [1], data: [b64] }
  await expectStatus(200, send('/v2/models/shapes/infer', json({ inputs: [bytes] })))
  const wrong = { ...bytes, datatype: b64 }
  await expectStatus(400, send('/v2/models/shapes/infer', json({ inputs: [wrong] })))
  await expectStatus(400, send('/v2/models/shapes/infer', json('text-in-place-of-an-image')))
  const alias = '/v1/models/shapes/aliases/stage'
  await expectStatus(201, send(alias, json({ version: 1 }, 'PUT')))
  await expectStatus(409, send(`${alias}/promote`, json({ version: 1, gate: { maxSizeBytes: 1 } })))
  await expectStatus(204, send(`/v1/keys/${made.id}`, { method: 'DELETE' }))
  await expectStatus(401, send('/v1/models', {}, minted))
  assert.equal(await whittle.stop(), 0)

  const printed = whittle.output().split('\n')
  // The banner of `npm start` is for people.
  const lines = printed
    .filter((line) => line !== '' && !line.startsWith('  '))
    .map((line): Line => {
      assert.match(line, /^\{.*\}$/, 'a line that is no object')
      return JSON.parse(line)
    })
  for (const line of lines) {
    const told = JSON.stringify(line)
    assert.match(String(line.role), /^(up|api|worker)$/, told)
    assert.equal(typeof line.level, 'number', told)
    assert.equal(typeof line.time, 'number', told)
    const isRequest = line.audit === true || /^request /.test(String(line.msg))
    if (isRequest) assert.match(String(line.requestId), /\S/, told)
    const isAttempt = line.role === 'worker' && !ofTheWorker.test(String(line.msg))
    if (isAttempt) assert.equal(line.jobId, posted.id, told)
    assert.equal(line.reqId, undefined, told)
  }
  const refusals = lines.filter(({ msg }) => msg === 'request refused')
  assert.ok(refusals.length >= 10, `${refusals.length} refusals`)
  assert.ok(lines.some(({ audit, route }) => audit === true && route === '/v1/jobs'))
  assert.ok(lines.some(({ msg, jobId }) => msg === 'webhook delivered' && jobId === posted.id))
  assert.ok(lines.some(({ msg, jobId }) => msg === 'trainer started' && jobId === posted.id))

  const all = printed.join('\n')
  const secret = {
    ...keys,
    wrong: 'wrong-key-that',
    minted,
    digest,
    workerToken,
    webhookSecret: webhookSecret.slice('whsec_'.length),
    bearer: /bearer (?!KEY\b)\S/i,
    authorization: /"authorization":(?!"\(left out\)")/i,
    encoded: b64.slice(0, 24),
    pixels: /PNG\\r\\n|IHDR|IDAT/,
    sent: 'text-in-place-of-an-image',
    query: 'in-the-query',
    webhookToken: 'token=hidden',
    webhookPassword: 'password-in-the-url'
  }
  for (const [what, text] of Object.entries(secret)) {
    const found = printed.find((line) =>
      typeof text === 'string' ? line.includes(text) : text.test(line)
    )
    assert.equal(found, undefined, `${what} is in the log`)
  }
  assert.ok(all.length > 2000)
})
