import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { InjectOptions } from 'fastify'
import { apiApp } from '../../support/api-app.ts'

const json = { 'content-type': 'application/json' }
const spec = { dataset: 'none', model: 'digits' }
const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`

interface Case {
  readonly what: string
  readonly request: InjectOptions
  readonly status: number
  readonly code: string
}

const post = (payload: InjectOptions['payload'], headers: Record<string, string> = json) =>
  ({ method: 'POST', url: '/v1/jobs', payload, headers }) as InjectOptions

const cases: readonly Case[] = [
  { what: 'broken JSON', request: post('{"a":'), status: 400, code: 'REQUEST_MALFORMED' },
  {
    what: 'prototype keys',
    request: post('{"__proto__":{}}'),
    status: 400,
    code: 'REQUEST_MALFORMED'
  },
  {
    what: 'no body',
    request: { method: 'POST', url: '/v1/jobs' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  { what: 'empty JSON', request: post(''), status: 422, code: 'REQUEST_INVALID' },
  { what: 'null', request: post('null'), status: 422, code: 'REQUEST_INVALID' },
  { what: 'an array', request: post('[]'), status: 422, code: 'REQUEST_INVALID' },
  { what: 'deep nesting', request: post(deep), status: 422, code: 'REQUEST_INVALID' },
  {
    what: 'deep nesting inside',
    request: post(`{"recipe":${deep}}`),
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'unknown field',
    request: post({ ...spec, goal: {} }),
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'wrong types',
    request: post({ dataset: 1, model: [] }),
    status: 422,
    code: 'REQUEST_INVALID'
  },
  { what: 'unknown dataset', request: post(spec), status: 422, code: 'REQUEST_INVALID' },
  {
    what: 'plain text',
    request: post('a', { 'content-type': 'text/plain' }),
    status: 415,
    code: 'MEDIA_TYPE_UNSUPPORTED'
  },
  {
    what: 'no content type',
    request: post(Buffer.from('{}'), {}),
    status: 415,
    code: 'MEDIA_TYPE_UNSUPPORTED'
  },
  {
    what: 'a tab in the type',
    request: post('{}', { 'content-type': 'application/json\t;a' }),
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'a huge body',
    request: post(JSON.stringify('x'.repeat(2_000_000))),
    status: 413,
    code: 'REQUEST_TOO_LARGE'
  },
  { what: 'unknown route', request: { url: '/v1/nothing' }, status: 404, code: 'ROUTE_NOT_FOUND' },
  {
    what: 'wrong method',
    request: { method: 'PUT', url: '/v1/jobs' },
    status: 405,
    code: 'METHOD_NOT_ALLOWED'
  },
  { what: 'bad escape', request: { url: '/v1/jobs/%zz' }, status: 400, code: 'REQUEST_MALFORMED' },
  { what: 'unknown job', request: { url: '/v1/jobs/job_x' }, status: 404, code: 'JOB_NOT_FOUND' },
  { what: 'NUL in an id', request: { url: '/v1/jobs/%00' }, status: 404, code: 'JOB_NOT_FOUND' },
  {
    what: 'bad page size',
    request: { url: '/v1/jobs?limit=0' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'page size twice',
    request: { url: '/v1/jobs?limit=1&limit=2' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'fractional page size',
    request: { url: '/v1/jobs?limit=1.5' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'unknown filter',
    request: { url: '/v1/jobs?stat=queued' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'unknown state',
    request: { url: '/v1/jobs?state=lost' },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'foreign cursor',
    request: { url: "/v1/jobs?cursor=';drop" },
    status: 422,
    code: 'REQUEST_INVALID'
  },
  {
    what: 'a bad idempotency key',
    request: post(spec, { ...json, 'idempotency-key': 'ä b' }),
    status: 400,
    code: 'REQUEST_MALFORMED'
  },
  {
    what: 'a worker without token',
    request: { method: 'POST', url: '/internal/v1/jobs/a/attempts' },
    status: 401,
    code: 'UNAUTHENTICATED'
  },
  {
    what: 'a foreign host',
    request: { url: '/v1/jobs', headers: { host: 'evil.example' } },
    status: 403,
    code: 'HOST_NOT_ALLOWED'
  },
  {
    what: 'a foreign origin',
    request: { url: '/v1/jobs', headers: { origin: 'https://evil.example' } },
    status: 403,
    code: 'HOST_NOT_ALLOWED'
  },
  {
    what: 'a null origin',
    request: { url: '/v1/jobs', headers: { origin: 'null' } },
    status: 403,
    code: 'HOST_NOT_ALLOWED'
  }
]

test('every malformed request is answered with a problem that says what is wrong', async (t) => {
  const { app } = await apiApp(t)
  for (const { what, request, status, code } of cases) {
    const answer = await app.inject(request)
    const problem = answer.json()
    assert.equal(answer.headers['content-type'], 'application/problem+json', what)
    assert.deepEqual(
      [problem.status, problem.code, answer.statusCode],
      [status, code, status],
      what
    )
    assert.ok(problem.title && problem.detail && problem.requestId && problem.instance, what)
    assert.equal(answer.headers['x-request-id'], problem.requestId, what)
    if (status === 422) assert.ok(problem.errors.length > 0, what)
    const type = await app.inject(problem.type)
    assert.equal(type.json().code, code, what)
  }
  assert.equal((await app.inject('/health/live')).statusCode, 200)
})

test('a wrong method is told the right ones', async (t) => {
  const { app } = await apiApp(t)
  const answer = await app.inject({ method: 'DELETE', url: '/v1/jobs?limit=1' })
  assert.equal(answer.headers.allow, 'GET, HEAD, POST')
})

test('what is no HTTP at all is answered with a problem too', async (t) => {
  const { app } = await apiApp(t)
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  for (const line of ['nonsense\r\n\r\n', `GET / HTTP/1.1\r\nA: ${'x'.repeat(100_000)}\r\n\r\n`]) {
    const answer = await exchange(Number(port), line)
    assert.match(answer, /^HTTP\/1.1 400 /)
    assert.equal(JSON.parse(answer.split('\r\n\r\n')[1] ?? '').code, 'REQUEST_MALFORMED')
  }
})

test('one refusal names the faults of schema and dataset together', async (t) => {
  const { app } = await apiApp(t)
  const body = { dataset: 'none', model: 'NO', seed: 1.5, recipe: { train: { epochs: 0 } } }
  const { errors } = (await app.inject(post(body))).json()
  const pointers = errors.map(({ pointer }: { pointer: string }) => pointer).toSorted()
  assert.deepEqual(pointers, ['/dataset', '/model', '/recipe/train/epochs', '/seed'])
})

/** Sends bytes and reads until the other side hangs up. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}
