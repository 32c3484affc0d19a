/** Bad requests to `/v2`: each gets its 4xx and an `error`, and afterwards the server answers a good one. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type ModelServer, modelServer } from '../../support/model-server.ts'

const image = { name: 'images', datatype: 'UINT8', shape: [1, 8, 8, 1], data: Array(64).fill(0) }

async function serving(t: TestContext, arrivalMs?: number): Promise<ModelServer> {
  const server = await modelServer(t, arrivalMs === undefined ? {} : { arrivalMs })
  await server.publish('job_1')
  return server
}

const post = (
  server: ModelServer,
  body: string | Uint8Array,
  headers: Record<string, string> = {}
) =>
  fetch(`${server.url}/v2/models/light/infer`, {
    method: 'POST',
    headers,
    body: new Uint8Array(Buffer.from(body))
  })

async function assertRefused(answer: Response, what: string): Promise<void> {
  const text = await answer.text()
  assert.ok(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status} ${text}`)
  assert.equal(typeof JSON.parse(text).error, 'string', what)
}

async function assertAnswers(server: ModelServer): Promise<void> {
  const answer = await post(server, JSON.stringify({ inputs: [image] }))
  assert.equal(answer.status, 200, await answer.text())
}

test('any JSON value in place of any member is answered, and never with our own error', async (t) => {
  const server = await serving(t)
  const members = ['id', 'parameters', 'inputs', 'outputs'] as const
  const ofInput = ['name', 'datatype', 'shape', 'parameters', 'data'] as const
  const request = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc
      .tuple(fc.constantFrom(...members), fc.jsonValue({ maxDepth: 3 }))
      .map(([member, value]) => ({ inputs: [image], [member]: value })),
    fc
      .tuple(fc.constantFrom(...ofInput), fc.jsonValue({ maxDepth: 3 }))
      .map(([member, value]) => ({ inputs: [{ ...image, [member]: value }] }))
  )
  await fc.assert(
    fc.asyncProperty(request, async (value) => {
      const body = JSON.stringify(value)
      const answer = await post(server, body)
      await answer.arrayBuffer()
      assert.ok(answer.status < 500, `${answer.status} to ${body}`)
    }),
    { numRuns: 300 }
  )
  await assertAnswers(server)
})

test('bytes of any kind, with any stated length of JSON, are answered', async (t) => {
  const server = await serving(t)
  const length = fc.oneof(fc.nat(200).map(String), fc.string({ maxLength: 8 }).filter(isHeader))
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), length, async (body, stated) => {
      const answer = await post(server, body, { 'inference-header-content-length': stated })
      await answer.arrayBuffer()
      assert.ok(answer.status < 500, `${answer.status} to ${stated} of ${body.length}`)
    }),
    { numRuns: 200 }
  )
  await assertAnswers(server)
})

const isHeader = (text: string): boolean => /^[\x21-\x7e]*$/.test(text)

test('requests that are large on purpose are refused', async (t) => {
  const server = await serving(t)
  const many = <T>(n: number, one: T): T[] => Array.from({ length: n }, () => one)
  const bad: Readonly<Record<string, unknown>> = {
    '10,000 outputs': { inputs: [image], outputs: many(10_000, { name: 'probabilities' }) },
    'as many objects': { inputs: many(50_000, {}) },
    'a batch of millions': { inputs: [{ ...image, shape: [2 ** 31, 8, 8, 1], data: [] }] },
    'sides that overflow': { inputs: [{ ...image, shape: [1, 2 ** 53, 2 ** 53, 1], data: [] }] },
    'a negative side': { inputs: [{ ...image, shape: [-1, 8, 8, 1] }] },
    'no image': { inputs: [{ ...image, shape: [0, 8, 8, 1], data: [] }] },
    'a long id': { id: 'x'.repeat(10_000), inputs: [image] },
    'half as many numbers': { inputs: [{ ...image, data: image.data.slice(32) }] },
    'nested deeper than the shape': { inputs: [{ ...image, data: [[[[[[0]]]]]] }] },
    'numbers out of range': { inputs: [{ ...image, data: image.data.map(() => 256) }] }
  }
  for (const [what, body] of Object.entries(bad)) {
    await assertRefused(await post(server, JSON.stringify(body)), what)
  }
  for (const [what, text] of [
    ['250,000 lists in each other', `{"inputs":${'['.repeat(250_000)}${']'.repeat(250_000)}}`],
    [
      'data of 250,000 lists',
      `{"inputs":[{"name":"images","datatype":"UINT8","shape":[1,8,8,1],"data":${'['.repeat(250_000)}${']'.repeat(250_000)}}]}`
    ],
    ['17 MiB of JSON', `{"id":"${'x'.repeat(17 * 2 ** 20)}"}`]
  ] as const) {
    await assertRefused(await post(server, text), what)
  }
  await assertAnswers(server)
})

test('names that look like paths are names', async (t) => {
  const server = await serving(t)
  for (const name of [
    '..',
    '%2e%2e%2fcatalog',
    'light@..',
    'light@int8@int8',
    'x'.repeat(250),
    '%00'
  ]) {
    const answer = await fetch(`${server.url}/v2/models/${name}/infer`, {
      method: 'POST',
      body: '{}'
    })
    await answer.arrayBuffer()
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} to ${name}`)
  }
  await assertAnswers(server)
})

test('a body that does not come, and a client that vanishes, hold nothing up', async (t) => {
  const server = await serving(t, 300)
  const head = (length: number): string =>
    [
      'POST /v2/models/light/infer HTTP/1.1',
      'Host: 127.0.0.1',
      `Content-Length: ${length}`,
      '',
      '{"inputs":'
    ].join('\r\n')
  const slow = connect(server.port, '127.0.0.1')
  slow.write(head(1000))
  const [answer] = await new Promise<string[]>((resolve) => {
    slow.once('data', (data) => resolve([data.toString()]))
  })
  assert.match(answer ?? '', /^HTTP\/1\.1 408 /)
  assert.match(answer ?? '', /\r\nconnection: close\r\n/i)
  slow.destroy()
  for (let i = 0; i < 20; i += 1) {
    const gone = connect(server.port, '127.0.0.1')
    gone.on('error', () => {})
    gone.write(head(100), () => gone.destroy())
  }
  await assertAnswers(server)
})
