import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import Value from 'typebox/value'
import { Model, ModelVersion } from '../../../src/contract/model.ts'
import type { Problem } from '../../../src/contract/problem.ts'
import { modelServer } from '../../support/model-server.ts'
import { readJson } from '../../support/read-json.ts'

interface Page {
  readonly items: Model[]
  readonly next: string | null
}

test('GET /v1/models pages, GET of a model and version fit the contract', async (t) => {
  const server = await modelServer(t)
  for (const name of ['a', 'b', 'c']) await server.publish(`job_${name}`, name)
  const read = <T>(path: string) => readJson<T>(fetch(`${server.url}${path}`))
  const first = await read<Page>('/v1/models?limit=2')
  assert.deepEqual(
    first.items.map((model: Model) => model.name),
    ['c', 'b']
  )
  const second = await read<Page>(`/v1/models?limit=2&cursor=${first.next}`)
  assert.deepEqual([second.items[0]?.name, second.next], ['a', null])
  const model = await read<Model>('/v1/models/a')
  assert.ok(Value.Check(Model, model))
  assert.deepEqual(model.aliases, [
    { alias: 'production', targets: [{ version: 1, variant: 'int8', share: 1 }] }
  ])
  assert.ok(Value.Check(ModelVersion, await read('/v1/models/a/versions/1')))
  for (const [path, code] of [
    ['/v1/models/none', 'MODEL_NOT_FOUND'],
    ['/v1/models/a/versions/2', 'VERSION_NOT_FOUND'],
    ['/v1/models/a/versions/1/artifacts/x', 'ARTIFACT_NOT_FOUND'],
    ['/v1/models/a/aliases/x', 'ALIAS_NOT_FOUND'],
    ['/v1/models/NO', 'ROUTE_NOT_FOUND'],
    ['/v1/models/a/versions/0', 'ROUTE_NOT_FOUND'],
    ['/v1/models?cursor=x', 'REQUEST_INVALID']
  ] as const) {
    assert.equal((await read<Problem>(path)).code, code, path)
  }
})

test('an artifact comes whole, in parts, or not at all when the caller has it', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  const url = `${server.url}/v1/models/light/versions/1/artifacts/int8.onnx`
  const get = (headers: Record<string, string> = {}, method = 'GET') =>
    fetch(url, { headers, method })
  const whole = await get()
  const bytes = Buffer.from(await whole.arrayBuffer())
  const etag = `"${createHash('sha256').update(bytes).digest('hex')}"`
  assert.equal(whole.headers.get('etag'), etag)
  assert.equal(whole.headers.get('accept-ranges'), 'bytes')
  assert.equal(Number(whole.headers.get('content-length')), bytes.length)

  const part = await get({ range: 'bytes=4-9' })
  assert.equal(part.status, 206)
  assert.equal(part.headers.get('content-range'), `bytes 4-9/${bytes.length}`)
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(4, 10))
  const tail = await get({ range: 'bytes=-5', 'if-range': etag })
  assert.deepEqual(Buffer.from(await tail.arrayBuffer()), bytes.subarray(-5))
  assert.equal((await get({ range: 'bytes=-5', 'if-range': '"other"' })).status, 200)

  const beyond = await get({ range: `bytes=${bytes.length}-` })
  assert.equal(beyond.status, 416)
  assert.equal(beyond.headers.get('content-range'), `bytes */${bytes.length}`)
  assert.equal((await readJson<Problem>(beyond)).code, 'RANGE_NOT_SATISFIABLE')

  const known = await get({ 'if-none-match': `"x", ${etag}` })
  assert.deepEqual([known.status, await known.text()], [304, ''])
  const head = await get({}, 'HEAD')
  assert.deepEqual([head.status, Number(head.headers.get('content-length'))], [200, bytes.length])
})

test('an alias is made, moved under If-Match, and deleted', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  await server.publish('job_2')
  const url = `${server.url}/v1/models/light/aliases/canary`
  const put = (body: unknown, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  const made = await put({ version: 2, variant: 'baseline' })
  assert.equal(made.status, 201)
  assert.equal(made.headers.get('location'), '/v1/models/light/aliases/canary')
  assert.deepEqual(await made.json(), {
    alias: 'canary',
    targets: [{ version: 2, variant: 'baseline', share: 1 }],
    rollback: null,
    events: []
  })
  const etag = made.headers.get('etag') ?? ''
  const targets = [
    { version: 1, share: 0.75 },
    { version: 2, share: 0.25 }
  ]
  const moved = await put({ targets }, { 'if-match': etag })
  assert.equal(moved.status, 200)
  assert.equal((await put({ version: 1 }, { 'if-match': etag })).status, 412)
  const wrong = await put({
    targets: [
      { version: 1, share: 0.5 },
      { version: 9, share: 0.4 }
    ]
  })
  assert.equal(wrong.status, 422)
  assert.deepEqual(
    (await readJson<Problem>(wrong)).errors?.map(({ pointer }) => pointer),
    ['/targets', '/targets/1/version']
  )
  const unknown = await put({ versions: 1 })
  assert.equal(unknown.status, 422)
  const versions = `${server.url}/v1/models/light/versions`
  assert.equal((await fetch(`${versions}/2`, { method: 'DELETE' })).status, 409)
  assert.equal((await fetch(url, { method: 'DELETE', headers: { 'if-match': etag } })).status, 412)
  assert.equal((await fetch(url, { method: 'DELETE' })).status, 204)
  assert.equal((await fetch(url)).status, 404)
  assert.equal((await fetch(`${versions}/2`, { method: 'DELETE' })).status, 204)
  const model = `${server.url}/v1/models/light`
  assert.equal((await fetch(model, { method: 'DELETE' })).status, 204)
  assert.equal((await fetch(model)).status, 404)
})
