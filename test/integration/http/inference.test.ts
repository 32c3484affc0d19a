/** The Open Inference Protocol as whittle serves it; what it asks of any server is `test/oip`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { checks, type Json, target } from '../../oip/conformance.ts'
import { flatImage } from '../../support/images.ts'
import { modelServer } from '../../support/model-server.ts'
import { until } from '../../support/until.ts'

for (const name of ['light', 'light@baseline']) {
  test(`${name} fits the protocol`, async (t) => {
    const server = await modelServer(t)
    await server.publish('job_1')
    await until(() => server.engines.status.ready)
    const asked = await target(server.url, name)
    assert.deepEqual(
      new Set(checks.flatMap(({ extension }) => extension ?? [])).difference(
        new Set(asked.extensions)
      ),
      new Set()
    )
    for (const { name, extension, run } of checks) {
      // A repository loads models, not variants.
      if (extension === 'model_repository' && asked.model.includes('@')) continue
      await t.test(name, () => run(asked))
    }
  })
}

test('encoded images of any size are BYTES, in JSON and as bytes', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const [white, black] = [await flatImage(255), await flatImage(0, 'webp')]
  const url = `${server.url}/v2/models/light/infer`
  const ask = async (body: string | Buffer, headers: Record<string, string> = {}) => {
    const answer = await fetch(url, {
      method: 'POST',
      headers,
      body: new Uint8Array(Buffer.from(body))
    })
    return { status: answer.status, body: (await answer.json()) as Json }
  }
  const input = { name: 'images', datatype: 'BYTES', shape: [2] }
  const outputs = [{ name: 'probabilities', parameters: { classification: 1 } }]
  const labels = ({ body }: { body: Json }) =>
    body.outputs[0].data.map((one: string) => one.split(':')[2])

  const data = [white, black].map((one) => one.toString('base64'))
  const inJson = await ask(JSON.stringify({ inputs: [{ ...input, data }], outputs }))
  assert.deepEqual(labels(inJson), ['bright', 'dark'])

  const tail = Buffer.concat([white, black].flatMap((one) => [lengthOf(one), one]))
  const parameters = { binary_data_size: tail.length }
  const head = Buffer.from(JSON.stringify({ inputs: [{ ...input, parameters }], outputs }))
  const length = { 'inference-header-content-length': String(head.length) }
  assert.deepEqual(labels(await ask(Buffer.concat([head, tail]), length)), ['bright', 'dark'])

  const alone = await fetch(url, {
    method: 'POST',
    headers: { 'inference-header-content-length': '0' },
    body: new Uint8Array(white)
  })
  const bytes = Buffer.from(await alone.arrayBuffer())
  assert.ok(bytes.readFloatLE(bytes.length - 4) > 0.99)

  const broken = [data[0], Buffer.from('no image').toString('base64')]
  const refused = await ask(JSON.stringify({ inputs: [{ ...input, data: broken }] }))
  assert.equal(refused.status, 400)
  assert.match(refused.body.error, /image 1: .*must be JPEG/)
})

test('the configuration tells the delay and the processes that are set', async (t) => {
  const server = await modelServer(t, { perModel: 2, maxDelayMs: 5 })
  await server.publish('job_1')
  const config = (await (await fetch(`${server.url}/v2/models/light/config`)).json()) as Json
  assert.equal(config.dynamic_batching.max_queue_delay_microseconds, 5000)
  assert.equal(config.instance_group[0].count, 2)
  assert.ok(!('preferred_batch_size' in config.dynamic_batching))
})

test('the configuration tells the preferred sizes of batches where some are set', async (t) => {
  const server = await modelServer(t, { preferredSizes: [2, 4] })
  await server.publish('job_1')
  const config = (await (await fetch(`${server.url}/v2/models/light/config`)).json()) as Json
  assert.deepEqual(config.dynamic_batching.preferred_batch_size, [2, 4])
})

test('timing is told on request; priority and timeout are kept', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const image = { name: 'images', datatype: 'UINT8', shape: [1, 8, 8, 1], data: Array(64).fill(0) }
  const ask = async (parameters: object) => {
    const body = JSON.stringify({ inputs: [image], parameters })
    const answer = await fetch(`${server.url}/v2/models/light/infer`, { method: 'POST', body })
    return { status: answer.status, body: (await answer.json()) as Json }
  }
  const { body } = await ask({ timing: true })
  assert.equal(body.parameters.batch_size, 1)
  assert.ok(body.parameters.queue_microseconds >= 0)
  const pids = server.engines.status.models.flatMap(({ key }) => server.engines.pids(key))
  assert.ok(pids.length > 0)
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  const late = await ask({ timeout: 50_000 })
  for (const pid of pids) process.kill(pid, 'SIGCONT')
  assert.equal(late.status, 504, JSON.stringify(late))
  assert.match(late.body.error, /the deadline is 0\.05 s/)
  for (const parameters of [{ priority: 4 }, { priority: 'high' }, { sequence_id: 7 }]) {
    assert.equal((await ask(parameters)).status, 400)
  }
})

test('a compressed body is bounded by what is inside, and a long answer is compressed', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const url = `${server.url}/v2/models/light/infer`
  const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024))
  const send = (body: Buffer, headers: Record<string, string>) =>
    fetch(url, { method: 'POST', headers, body: new Uint8Array(body) })
  assert.equal((await send(bomb, { 'content-encoding': 'gzip' })).status, 413)
  const cut = await send(bomb.subarray(0, 1000), { 'content-encoding': 'gzip' })
  assert.equal(cut.status, 400)
  assert.equal((await send(bomb, { 'content-encoding': 'br' })).status, 415)
  const shape = [64, 8, 8, 1]
  const image = { name: 'images', datatype: 'UINT8', shape, data: Array(4096).fill(9) }
  const answer = await send(Buffer.from(JSON.stringify({ inputs: [image] })), {
    'accept-encoding': 'gzip;q=0, deflate'
  })
  assert.equal(answer.headers.get('content-encoding'), 'deflate')
  assert.equal(((await answer.json()) as Json).outputs[0].data.length, 128)
})

test('what is asked of a model counts for that model, version and variant only', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  await server.publish('job_2')
  const image = { name: 'images', datatype: 'UINT8', shape: [1, 8, 8, 1], data: Array(64).fill(0) }
  const ask = (path: string) =>
    fetch(`${server.url}/v2/models/${path}/infer`, {
      method: 'POST',
      body: JSON.stringify({ inputs: [image] })
    })
  for (const path of [
    'light/versions/1',
    'light@baseline/versions/2',
    'light@baseline/versions/2'
  ]) {
    assert.equal((await ask(path)).status, 200)
  }
  const counts = async (path: string) => {
    const answer = await fetch(`${server.url}/v2/models/${path}/stats`)
    const { model_stats: rows } = (await answer.json()) as Json
    return rows.map((row: Json) => [
      row.version,
      row.inference_count,
      row.inference_stats.success.count
    ])
  }
  assert.deepEqual(await counts('light'), [
    ['1', 1, 1],
    ['2', 2, 2]
  ])
  assert.deepEqual(await counts('light@int8'), [
    ['1', 1, 1],
    ['2', 0, 0]
  ])
  assert.deepEqual(await counts('light/versions/2'), [['2', 2, 2]])
})

function lengthOf({ length }: Buffer): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}
