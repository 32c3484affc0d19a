import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, isLoopback, readConfig, Settings } from '../../src/config.ts'
import { apiKey } from '../support/keys.ts'

const faultsOf = (env: Record<string, string>, required?: Parameters<typeof readConfig>[1]) => {
  try {
    readConfig(env, required)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.faults
  }
  return []
}

test('readConfig() fills in every default', () => {
  const config = readConfig({})
  assert.equal(config.host, '127.0.0.1')
  assert.equal(config.port, 8000)
  assert.equal(config.redisUrl, null)
  assert.equal(config.workerToken, null)
  assert.equal(config.cacheDir, 'data/worker')
  assert.deepEqual(config.apiKeys, [])
})

test('readConfig() yields a camel-cased member for every variable', () => {
  const camel = Object.keys(Settings.properties).map((name) =>
    name
      .replace(/^WHITTLE_/, '')
      .toLowerCase()
      .replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
  )
  assert.deepEqual(Object.keys(readConfig({})).sort(), camel.sort())
})

test('readConfig() freezes the configuration', () => {
  const config = readConfig({ WHITTLE_API_KEYS: 'a' })
  assert.ok(Object.isFrozen(config))
  assert.ok(Object.isFrozen(config.apiKeys))
  assert.ok(Object.isFrozen(config.apiKeys[0]))
})

test('readConfig() counts an empty variable as not given', () => {
  assert.equal(readConfig({ WHITTLE_PORT: '', WHITTLE_HOST: ' ' }).port, 8000)
})

test('readConfig() names every bad variable at once', () => {
  const faults = faultsOf({
    WHITTLE_PORT: '70000',
    WHITTLE_THREADS: 'two',
    WHITTLE_ENGINE: 'cuda',
    WHITTLE_API_URL: 'example',
    WHITTLE_HOST: '0.0.0.0'
  })
  assert.deepEqual(
    faults.map((fault) => fault.split(' ')[0]),
    ['WHITTLE_API_URL', 'WHITTLE_ENGINE', 'WHITTLE_THREADS', 'WHITTLE_PORT', 'WHITTLE_HOST'].sort(
      (a, b) => order(a) - order(b)
    )
  )
  assert.match(faults.join('\n'), /received "70000"/)
  assert.match(faults.join('\n'), /one of auto, tensorflow, wasm, received "cuda"/)
})

/** Faults come in the schema's order; what is checked across variables comes last. */
const order = (name: string) =>
  name === 'WHITTLE_HOST' ? 99 : Object.keys(Settings.properties).indexOf(name)

test('readConfig() keeps secrets out of its messages', () => {
  const faults = faultsOf({ REDIS_URL: 'http://user:hunter2@somewhere' })
  assert.equal(faults.length, 1)
  assert.doesNotMatch(faults[0] ?? '', /hunter2/)
})

test('readConfig() refuses an address beyond loopback without keys', () => {
  assert.match(faultsOf({ WHITTLE_HOST: '0.0.0.0' })[0] ?? '', /WHITTLE_API_KEYS/)
  assert.match(faultsOf({ WHITTLE_HOST: '::' })[0] ?? '', /WHITTLE_API_KEYS/)
  assert.deepEqual(faultsOf({ WHITTLE_HOST: '0.0.0.0', WHITTLE_API_KEYS: 'k' }), [])
})

test('readConfig() reads keys with and without a scope', () => {
  assert.deepEqual(
    readConfig({ WHITTLE_API_KEYS: 'one, predict:two,train:three:x,admin:four' }).apiKeys,
    [
      apiKey('one', 'admin'),
      apiKey('two', 'predict'),
      apiKey('three:x', 'train'),
      apiKey('four', 'admin')
    ]
  )
  assert.match(faultsOf({ WHITTLE_API_KEYS: 'one,,two' })[0] ?? '', /WHITTLE_API_KEYS/)
})

test('readConfig() takes the SHA-256 of a key in its place', () => {
  const { sha256 } = apiKey('secret', 'admin')
  const text = `sha256:${sha256}, predict:sha256:${sha256.toUpperCase()}`
  assert.deepEqual(readConfig({ WHITTLE_API_KEYS: text }).apiKeys, [
    apiKey('secret', 'admin'),
    apiKey('secret', 'predict')
  ])
})

test('readConfig() refuses keys that are none, without showing them', () => {
  const short = faultsOf({ WHITTLE_API_KEYS: 'train:sha256:hunter2,one' })
  assert.deepEqual(short, ['WHITTLE_API_KEYS must hold 64 hexadecimal digits after sha256:'])
  // What `predict:$KEY` becomes when the variable is empty.
  const empty = faultsOf({ WHITTLE_API_KEYS: 'predict:' })
  assert.deepEqual(empty, ['WHITTLE_API_KEYS must hold a key after predict:'])
})

test('readConfig() takes Redis as a URL or a socket path', () => {
  assert.equal(readConfig({ REDIS_URL: '/run/redis.sock' }).redisUrl, '/run/redis.sock')
  assert.equal(readConfig({ REDIS_URL: 'rediss://h:1' }).redisUrl, 'rediss://h:1')
})

test('readConfig() names what the caller requires and was not given', () => {
  assert.deepEqual(faultsOf({}, ['WHITTLE_WORKER_TOKEN']), ['WHITTLE_WORKER_TOKEN must be set'])
  assert.deepEqual(faultsOf({ WHITTLE_WORKER_TOKEN: 't' }, ['WHITTLE_WORKER_TOKEN']), [])
})

test('isLoopback() knows the loopback names and no other', () => {
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '::1']) assert.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.evil.example', '1127.0.0.1'])
    assert.ok(!isLoopback(host), host)
})

test('preferred sizes of batches are distinct, within the largest batch, and come out ascending', () => {
  const name = 'WHITTLE_PREFERRED_BATCH_SIZES'
  assert.deepEqual(readConfig({}).preferredBatchSizes, [])
  assert.deepEqual(readConfig({ [name]: '8, 2,4' }).preferredBatchSizes, [2, 4, 8])
  for (const text of ['9', '0', '2,2', '2,', '-1', '1.5', 'two']) {
    assert.deepEqual(faultsOf({ [name]: text }), [
      `${name} must be distinct integers from 1 to 8, the largest batch, separated by commas, received "${text}"`
    ])
  }
  assert.deepEqual(faultsOf({ [name]: '16', WHITTLE_MAX_BATCH: '16' }), [])
  assert.equal(faultsOf({ [name]: '16', WHITTLE_MAX_BATCH: 'many' }).length, 1)
})
