/** One line for every change that was asked for, whatever the log level, and nothing secret in it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { apiKey, showing } from '../../support/keys.ts'
import { until } from '../../support/until.ts'

type Line = Readonly<Record<string, unknown>>

/** An app that logs at `silent`, and every line that it logs all the same. */
async function audited(t: TestContext): Promise<ApiApp & { readonly lines: () => Line[] }> {
  const written: string[] = []
  const logger = pino({ level: 'silent' }, { write: (line: string) => void written.push(line) })
  const apiKeys = [apiKey('t-key', 'train'), apiKey('a-key', 'admin')]
  const api = await apiApp(t, { apiKeys, logger: logger as FastifyBaseLogger })
  return { ...api, lines: () => written.map((line) => JSON.parse(line) as Line) }
}

test('a change is written down with who, what and what came of it', async (t) => {
  const api = await audited(t)
  await readyDataset(api)
  const answer = await api.app.inject({
    method: 'POST',
    url: '/v1/jobs?token=in-the-query',
    payload: { dataset: 'digits', model: 'in-the-body' },
    headers: { ...showing('t-key'), 'x-request-id': 'r-1' },
    remoteAddress: '192.0.2.7'
  })
  assert.equal(answer.statusCode, 202)
  const [line, ...others] = api.lines()
  const { pid, hostname, time, ...told } = line ?? {}
  assert.deepEqual(others, [])
  assert.deepEqual(told, {
    level: 30,
    audit: true,
    caller: callerId(api, 't-key'),
    method: 'POST',
    route: '/v1/jobs',
    path: '/v1/jobs',
    status: 202,
    requestId: 'r-1',
    address: '192.0.2.7',
    location: answer.headers.location
  })
  assert.doesNotMatch(JSON.stringify(line), /in-the|t-key/)
})

test('what was refused is written down too; what only reads is not', async (t) => {
  const api = await audited(t)
  const send = (method: 'GET' | 'POST' | 'DELETE' | 'PATCH' | 'OPTIONS', url: string, key = '') =>
    api.app.inject({ method, url, headers: key === '' ? {} : showing(key) })
  await send('DELETE', '/v1/models/m')
  await send('DELETE', '/v1/models/m', 'wrong')
  await send('DELETE', '/v1/models/m', 't-key')
  await send('DELETE', '/v1/models/m', 'a-key')
  await send('PATCH', '/v1/keys/key_none', 'a-key')
  for (const [method, url] of unwritten) await send(method, url, 'a-key')
  const trainer = callerId(api, 't-key')
  const admin = callerId(api, 'a-key')
  assert.deepEqual(
    api.lines().map(({ caller, method, route, status }) => [caller, method, route, status]),
    [
      [null, 'DELETE', '/v1/models/:name', 401],
      [null, 'DELETE', '/v1/models/:name', 401],
      [trainer, 'DELETE', '/v1/models/:name', 403],
      [admin, 'DELETE', '/v1/models/:name', 404],
      [admin, 'PATCH', '/v1/keys/:id', 422]
    ]
  )
})

const unwritten = [
  ['GET', '/v1/jobs'],
  ['OPTIONS', '/v1/jobs'],
  ['POST', '/v1/models/m/predictions'],
  ['POST', '/v1/nothing'],
  ['DELETE', '/health/live']
] as const

test('a key that is made leaves its id in the log, and not itself', async (t) => {
  const api = await audited(t)
  const payload = { name: 'ci', scope: 'train' }
  const asked = { method: 'POST', url: '/v1/keys', payload, headers: showing('a-key') } as const
  const { id, key } = (await api.app.inject(asked)).json()
  const [line] = api.lines()
  assert.deepEqual([line?.status, line?.location], [201, `/v1/keys/${id}`])
  assert.ok(!JSON.stringify(api.lines()).includes(key.slice(-43)))
})

test('the end of a job is written down under the worker that told of it, once', async (t) => {
  const api = await audited(t)
  await readyDataset(api)
  const payload = { dataset: 'digits', model: 'digits' }
  const asked = { method: 'POST', url: '/v1/jobs', payload, headers: showing('t-key') } as const
  const { id } = (await api.app.inject(asked)).json()
  const worker = fakeWorker(api.app, 'host-7')
  const { attempt } = await worker.claim(id, 1)
  await worker.beat(id, attempt, 0.5)
  const outcome = { kind: 'failed', code: 'TRAINING_DIVERGED', detail: 'NaN' } as const
  await worker.outcome(id, attempt, outcome)
  await worker.outcome(id, attempt, outcome)
  const [, ...lines] = api.lines()
  assert.deepEqual(
    lines.map(({ caller, method, path, status }) => [caller, method, path, status]),
    [['host-7', 'POST', `/internal/v1/jobs/${id}/outcome`, 200]]
  )
})

test('a change is written down although its client did not wait for the answer', async (t) => {
  const api = await audited(t)
  await readyDataset(api)
  const url = await api.app.listen({ port: 0, host: '127.0.0.1' })
  let release = () => {}
  // The only connection to the catalogue is taken, so that the request cannot be answered yet.
  const taken = api.db.transaction().execute(
    () =>
      new Promise<void>((resolve) => {
        release = resolve
      })
  )
  const leaving = new AbortController()
  const arrived = once(api.app.server, 'request')
  const body = JSON.stringify({ dataset: 'digits', model: 'digits' })
  const headers = { 'content-type': 'application/json', ...showing('t-key') }
  const init = { method: 'POST', body, headers, signal: leaving.signal }
  const left = assert.rejects(fetch(`${url}/v1/jobs`, init))
  const [request] = await arrived
  await until(() => request.complete)
  const gone = once(request.socket, 'close')
  leaving.abort()
  await Promise.all([left, gone])
  release()
  await taken
  await until(() => api.lines().length > 0)
  assert.deepEqual(
    api.lines().map(({ route, status }) => [route, status]),
    [['/v1/jobs', 202]]
  )
})

function callerId({ keys }: ApiApp, key: string): string {
  const found = keys.find(key)
  assert.ok('caller' in found)
  return found.caller.id
}
