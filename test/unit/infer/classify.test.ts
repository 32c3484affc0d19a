import assert from 'node:assert/strict'
import { test } from 'node:test'
import { best } from '../../../src/infer/classify.ts'

test('best() orders by score, then by index', () => {
  const scores = Float32Array.of(0.25, 0.5, 0, 0.25)
  assert.deepEqual(best(scores, 3), { classes: [1, 0, 3], scores: [0.5, 0.25, 0.25] })
  assert.deepEqual(best(scores, 1), { classes: [1], scores: [0.5] })
  assert.deepEqual(best(scores, 99).classes, [1, 0, 3, 2])
})
