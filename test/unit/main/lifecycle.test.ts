import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endingMs } from '../../../src/main/lifecycle.ts'

test('endingMs: what ends one after the other ends within twenty seconds', () => {
  const { trainer, report, worker, requests, api, redis, all } = endingMs
  assert.ok(trainer + report + 1500 <= worker)
  assert.ok(requests < api)
  assert.ok(worker + api + redis < all)
  assert.ok(all <= 20_000)
})
