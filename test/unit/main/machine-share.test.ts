import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readConfig } from '../../../src/config.ts'
import { cacheLimit } from '../../../src/main/machine-share.ts'

const limit = (env: Record<string, string>) => cacheLimit(readConfig(env))

test('cacheLimit() is what was set; 0 is no limit', () => {
  assert.equal(limit({}), 20 * 2 ** 30)
  assert.equal(limit({ WHITTLE_CACHE_BYTES: '1000' }), 1000)
  assert.equal(limit({ WHITTLE_CACHE_BYTES: '0' }), Number.POSITIVE_INFINITY)
})

test('cacheLimit() leaves three quarters of a limited data folder to what cannot be fetched again', () => {
  const max = { WHITTLE_MAX_DISK: '4000', WHITTLE_DATA_DIR: '/data' }
  assert.equal(limit({ ...max, WHITTLE_CACHE_BYTES: '0' }), 1000)
  assert.equal(limit({ ...max, WHITTLE_CACHE_BYTES: '500' }), 500)
  assert.equal(
    limit({ ...max, WHITTLE_CACHE_BYTES: '0', WHITTLE_CACHE_DIR: '/data-of-another' }),
    Number.POSITIVE_INFINITY
  )
})
