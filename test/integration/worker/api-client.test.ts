import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Assignment } from '../../../src/contract/job.ts'
import { ApiRefusal, BrokenOff } from '../../../src/worker/api-call.ts'
import { createApiClient } from '../../../src/worker/api-client.ts'

type Handler = (request: IncomingMessage, body: Buffer, response: ServerResponse) => void

async function fakeApi(t: TestContext, handler: Handler): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    handler(request, Buffer.concat(chunks), response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'whittle-client-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const { signal } = new AbortController()
const assignment = { job: 'job_1', attempt: 3 } as Assignment
const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

test('attempt() carries the token and the attempt number on every call', async (t) => {
  let seen: IncomingMessage | undefined
  const url = await fakeApi(t, (request, _body, response) => {
    seen = request
    json(response, 200, { order: 'stop' })
  })
  const client = createApiClient({ url, token: 'secret' }).attempt(assignment, signal)
  assert.deepEqual(await client.heartbeat({ progress: 0.5 }), { order: 'stop' })
  assert.equal(seen?.url, '/internal/v1/jobs/job_1/heartbeat')
  assert.equal(seen?.headers.authorization, 'Bearer secret')
  assert.equal(seen?.headers['whittle-attempt'], '3')
})

test('putArtifact() sends the bytes of the file and their digest', async (t) => {
  const file = join(await folder(t), 'a.bin')
  const bytes = Buffer.alloc(300_000, 7)
  await writeFile(file, bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  let received: { digest: unknown; body: Buffer } | undefined
  const url = await fakeApi(t, (request, body, response) => {
    received = { digest: request.headers['content-sha256'], body }
    response.writeHead(204).end()
  })
  const client = createApiClient({ url, token: 'x' }).attempt(assignment, signal)
  await client.putArtifact('a.bin', { file, sha256 })
  assert.equal(received?.digest, sha256)
  assert.deepEqual(received?.body, bytes)
})

test('an upload of a file that is gone is given up at once, not repeated', async (t) => {
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    response.writeHead(204).end()
  })
  const client = createApiClient({ url, token: 'x' }).attempt(assignment, signal)
  const file = join(await folder(t), 'gone.safetensors')
  await assert.rejects(client.putCheckpoint('c', { file, sha256: 'f'.repeat(64) }), {
    code: 'ENOENT'
  })
  assert.equal(calls, 0)
})

test('a call is repeated while the api answers 503, and its answer used when it is back', async (t) => {
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    if (calls < 3) json(response, 503, { code: 'SHUTTING_DOWN', detail: 'bye' })
    else json(response, 200, { state: 'completed' })
  })
  const client = createApiClient({ url, token: 'x' }).attempt(assignment, signal)
  await client.sendOutcome({ kind: 'cancelled' })
  assert.equal(calls, 3)
})

test('a refusal is final and carries the problem’s code', async (t) => {
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    json(response, 409, { code: 'ATTEMPT_STALE', detail: 'attempt 4 is running' })
  })
  const client = createApiClient({ url, token: 'x' }).attempt(assignment, signal)
  await assert.rejects(client.sendEvents({ n: 1, events: [] }), (error) => {
    assert.ok(error instanceof ApiRefusal)
    assert.equal(error.code, 'ATTEMPT_STALE')
    assert.equal(error.status, 409)
    return true
  })
  assert.equal(calls, 1)
})

test('claim() is undefined when the catalogue does not want the dispatch', async (t) => {
  const url = await fakeApi(t, (_request, _body, response) =>
    json(response, 409, { code: 'JOB_ENDED', detail: 'completed' })
  )
  const api = createApiClient({ url, token: 'x' })
  assert.equal(await api.claim('job_1', { dispatch: 1, worker: 'w' }, signal), undefined)
})

test('claim() rejects when the token is wrong', async (t) => {
  const url = await fakeApi(t, (_request, _body, response) =>
    json(response, 401, { code: 'UNAUTHENTICATED', detail: 'no' })
  )
  const api = createApiClient({ url, token: 'x' })
  await assert.rejects(api.claim('job_1', { dispatch: 1, worker: 'w' }, signal), /UNAUTHENTICATED/)
})

test('downloadImages() starts again when the body breaks off', async (t) => {
  const file = join(await folder(t), 'images.tar')
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    response.writeHead(200, { 'content-length': '10' })
    if (calls === 1) response.write('01234', () => response.destroy())
    else response.end('0123456789')
  })
  const api = createApiClient({ url, token: 'x' })
  await api.downloadImages({ id: 'ds_1', version: 2 }, file, signal)
  assert.equal(await readFile(file, 'utf8'), '0123456789')
  assert.equal(calls, 2)
})

test('getCheckpoint() outlasts an api that dies again and again in the middle of it', async (t) => {
  const file = join(await folder(t), 'checkpoint-1.safetensors')
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    response.writeHead(200, { 'content-length': '10' })
    if (calls > 4) response.end('0123456789')
    else response.write('01234', () => response.destroy())
  })
  const client = createApiClient({ url, token: 'x' }).attempt(assignment, signal)
  await client.getCheckpoint('checkpoint-1.safetensors', file)
  assert.equal(await readFile(file, 'utf8'), '0123456789')
  assert.equal(calls, 5)
})

test('getCheckpoint() says of a file that never comes whole that it broke off', async (t) => {
  const file = join(await folder(t), 'checkpoint-1.safetensors')
  const url = await fakeApi(t, (_request, _body, response) => {
    response.writeHead(200, { 'content-length': '10' })
    response.write('01234', () => response.destroy())
  })
  const client = createApiClient({ url, token: 'x', patienceMs: 0 }).attempt(assignment, signal)
  await assert.rejects(client.getCheckpoint('checkpoint-1.safetensors', file), BrokenOff)
})

test('a claim whose answer breaks off half-way is made again', async (t) => {
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    if (calls > 1) return json(response, 200, { job: 'job_1', attempt: 2 })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '99' })
    response.write('{"job":', () => response.destroy())
  })
  const api = createApiClient({ url, token: 'x' })
  const claimed = await api.claim('job_1', { dispatch: 1, worker: 'w' }, signal)
  assert.equal(claimed?.attempt, 2)
})

test('a full disk here is final', async (t) => {
  let calls = 0
  const url = await fakeApi(t, (_request, _body, response) => {
    calls += 1
    response.end('0123456789')
  })
  const api = createApiClient({ url, token: 'x' })
  // Writing to it fails as on a disk without room: full(4).
  const downloading = api.downloadImages({ id: 'ds_1', version: 2 }, '/dev/full', signal)
  await assert.rejects(downloading, { code: 'DISK_FULL' })
  assert.equal(calls, 1)
})

test('an abandoned attempt ends a call that waits for the api', async () => {
  const abandoned = new AbortController()
  // Port 1 refuses every connection.
  const client = createApiClient({ url: 'http://127.0.0.1:1', token: 'x' }).attempt(
    assignment,
    abandoned.signal
  )
  const call = client.sendEvents({ n: 1, events: [] })
  setTimeout(() => abandoned.abort(new Error('superseded')), 50)
  await assert.rejects(call)
})
