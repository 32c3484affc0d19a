import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiApp, workerToken } from '../../support/api-app.ts'
import { apiKey } from '../../support/keys.ts'

const apiKeys = [apiKey('p-key', 'predict'), apiKey('t-key', 'train'), apiKey('a-key', 'admin')]

test('with keys, every route but health wants one with the right scope', async (t) => {
  const { app } = await apiApp(t, { apiKeys })
  const ask = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, key?: string) => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    return (await app.inject({ method, url, headers })).statusCode
  }
  const rows = [
    ['GET', '/health/live', 200, 200, 200, 200],
    ['GET', '/v1/jobs', 401, 403, 200, 200],
    ['GET', '/v1/datasets', 401, 403, 200, 200],
    ['POST', '/v1/jobs', 401, 403, 422, 422],
    ['GET', '/v1/models', 401, 200, 200, 200],
    ['POST', '/v1/models/m/predictions', 401, 404, 404, 404],
    ['DELETE', '/v1/models/m', 401, 403, 403, 404],
    ['DELETE', '/v1/models/predictions', 401, 403, 403, 404],
    ['PUT', '/v1/models/m/aliases/predictions', 401, 403, 422, 422],
    ['GET', '/docs', 401, 200, 200, 200],
    ['GET', '/openapi.json', 401, 200, 200, 200],
    ['GET', '/v1/engine', 401, 200, 200, 200],
    ['GET', '/nothing', 401, 403, 404, 404]
  ] as const
  for (const [method, url, without, predict, train, admin] of rows) {
    const got = [
      await ask(method, url),
      await ask(method, url, 'p-key'),
      await ask(method, url, 't-key'),
      await ask(method, url, 'a-key')
    ]
    // An empty POST of predictions is refused as a request, not by its key.
    const wanted = [without, predict, train, admin].map((status) => String(status))
    if (method === 'POST' && url.endsWith('/predictions'))
      assert.ok(got.slice(1).every((s) => s !== 401 && s !== 403))
    else assert.deepEqual(got.map(String), wanted, `${method} ${url}`)
    assert.equal(await ask(method, url, 'wrong'), without, `${method} ${url}`)
  }
})

test('a refused key is told how to authenticate, and host names no longer matter', async (t) => {
  const { app } = await apiApp(t, { apiKeys })
  const headers = { host: 'whittle.example' }
  const without = await app.inject({ url: '/v1/jobs', headers })
  assert.match(String(without.headers['www-authenticate']), /^Bearer realm=/)
  const authorization = 'Bearer p-key'
  const scope = await app.inject({ url: '/v1/jobs', headers: { ...headers, authorization } })
  assert.match(String(scope.headers['www-authenticate']), /insufficient_scope/)
})

test('keys do not open the internal routes, and the workers token opens nothing else', async (t) => {
  const { app } = await apiApp(t, { apiKeys })
  const ask = async (url: string, key: string) =>
    (await app.inject({ url, headers: { authorization: `Bearer ${key}` } })).statusCode
  const manifest = '/internal/v1/datasets/ds_none/versions/1'
  assert.equal(await ask(manifest, 'a-key'), 401)
  assert.equal(await ask(manifest, workerToken), 404)
  assert.equal(await ask('/v1/jobs', workerToken), 401)
})

test('without a worker token no worker is let in', async (t) => {
  const { app } = await apiApp(t, { workerToken: null })
  for (const authorization of ['Bearer null', 'Bearer ', 'Basic x']) {
    const url = '/internal/v1/datasets/a/versions/1'
    assert.equal((await app.inject({ url, headers: { authorization } })).statusCode, 401)
  }
})
