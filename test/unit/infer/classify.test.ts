import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { best } from '../../../src/infer/classify.ts'

test('best() orders by score, then by index', () => {
  const scores = Float32Array.of(0.25, 0.5, 0, 0.25)
  assert.deepEqual(best(scores, 3), { classes: [1, 0, 3], scores: [0.5, 0.25, 0.25] })
  assert.deepEqual(best(scores, 1), { classes: [1], scores: [0.5] })
  assert.deepEqual(best(scores, 99).classes, [1, 0, 3, 2])
})

test('best() gives what sorting gives, for any scores and any number of them', () => {
  const scores = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(scores, fc.integer({ min: 1, max: 70 }), (values, top) => {
      const sorted = values
        .map((_, i) => i)
        .sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b)
      assert.deepEqual(best(Float32Array.from(values), top).classes, sorted.slice(0, top))
    })
  )
})
