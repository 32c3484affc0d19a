/** Requests per minute: each key has its own, and who has none is counted by address. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiApp } from '../../support/api-app.ts'
import { apiKey, showing } from '../../support/keys.ts'

const apiKeys = [apiKey('one', 'train'), apiKey('two', 'train'), apiKey('admin', 'admin')]

test('each key has its own requests, counts them down, and is told when to come again', async (t) => {
  const { app } = await apiApp(t, { apiKeys, keyLimits: { requestsPerMinute: 3 } })
  const base = await app.listen({ port: 0, host: '127.0.0.1' })
  const ask = (key: string, path = '/v1/jobs') => fetch(`${base}${path}`, { headers: showing(key) })
  for (const left of ['2', '1', '0']) {
    const { status, headers } = await ask('one')
    assert.deepEqual([status, headers.get('ratelimit-remaining')], [200, left])
    assert.equal(headers.get('ratelimit-limit'), '3')
  }
  const refused = await ask('one', '/v1/nothing')
  const { code, detail } = (await refused.json()) as { code: string; detail: string }
  assert.deepEqual([refused.status, code], [429, 'RATE_LIMITED'])
  assert.match(detail, /^Cannot take the request: the key env_7692c3ad may send 3 a minute/)
  const seconds = Number(refused.headers.get('retry-after'))
  assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `${seconds}`)
  assert.equal(refused.headers.get('ratelimit-reset'), String(seconds))
  assert.equal((await ask('two')).status, 200, 'another key is not held up')
  assert.equal((await ask('one', '/health/live')).status, 200, 'health is not counted')
})

test('a key without a limit sends what it likes, and workers are not counted', async (t) => {
  const { app } = await apiApp(t, { apiKeys })
  for (let i = 0; i < 100; i++) {
    const { statusCode, headers } = await app.inject({ url: '/v1/engine', headers: showing('one') })
    assert.deepEqual([statusCode, headers['ratelimit-limit']], [200, undefined])
  }
  for (let i = 0; i < 100; i++) {
    const url = '/internal/v1/datasets/ds_none/versions/1'
    assert.equal((await app.inject({ url, headers: showing('wrong') })).statusCode, 401)
  }
})

test('an address without a good key is refused after sixty tries, a good key behind it is not', async (t) => {
  const { app } = await apiApp(t, { apiKeys })
  const guess = async (key: string, remoteAddress: string) =>
    (await app.inject({ url: '/v1/jobs', headers: showing(key), remoteAddress })).statusCode
  for (let i = 0; i < 60; i++) assert.equal(await guess(`key-${i}`, '2001:db8::1'), 401)
  assert.equal(await guess('key-60', '2001:db8::1'), 429)
  assert.equal(await guess('key-61', '2001:db8::2'), 429, 'the same network')
  assert.equal(await guess('key-62', '2001:db8:0:1::1'), 401, 'another network')
  assert.equal(await guess('one', '2001:db8::1'), 200, 'a good key behind the same address')
})

test('without keys nobody is counted', async (t) => {
  const { app } = await apiApp(t, { keyLimits: { requestsPerMinute: 1 } })
  for (let i = 0; i < 3; i++) {
    const { statusCode, headers } = await app.inject('/v1/engine')
    assert.deepEqual([statusCode, headers['ratelimit-limit']], [200, undefined])
  }
})
