import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '../../../src/catalog/id.ts'

test('newId() makes ids of the given kind that sort by creation', () => {
  const ids = Array.from({ length: 2000 }, () => newId('job'))
  for (const id of ids) assert.match(id, /^job_[0-9a-z]{26}$/)
  assert.deepEqual(ids.toSorted(), ids)
  assert.equal(new Set(ids).size, ids.length)
})

test('newId() never goes back when the clock does', () => {
  const later = newId('ds', Date.now() + 60_000)
  const earlier = newId('ds', Date.now() - 60_000)
  assert.ok(earlier > later)
})
