import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchSize, isFilled } from '../../../src/infer/batch-size.ts'

const rules = (maxDelayMs: number, ...preferredSizes: number[]) => ({
  maxBatch: 8,
  maxDelayMs,
  preferredSizes
})
const alone = { able: 1, others: 0, imageMs: 0 }
const sizes = (of: ReturnType<typeof rules>, backlog: object = {}) =>
  Array.from({ length: 10 }, (_, i) => batchSize({ ...alone, ...backlog, waiting: i + 1 }, of))

test('batchSize() takes what waits, up to the largest batch', () => {
  assert.deepEqual(sizes(rules(0)), [1, 2, 3, 4, 5, 6, 7, 8, 8, 8])
  assert.deepEqual(sizes(rules(5)), [1, 2, 3, 4, 5, 6, 7, 8, 8, 8])
})

test('batchSize() leaves idle engines their share, and keeps batches small while the line is short', () => {
  assert.deepEqual(sizes(rules(0), { able: 2, others: 1 }), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
  // An image takes longer than a short batch may: half of what each of the others would get.
  assert.deepEqual(sizes(rules(0), { others: 2, imageMs: 3 }), [1, 1, 1, 1, 2, 2, 2, 2, 3, 3])
})

test('batchSize() without a delay rounds down to a preferred size, and never below one', () => {
  assert.deepEqual(sizes(rules(0, 2, 6)), [1, 2, 2, 2, 2, 6, 6, 6, 6, 6])
  assert.deepEqual(sizes(rules(0, 4)), [1, 2, 3, 4, 4, 4, 4, 4, 4, 4])
  // The share of an engine is rounded, not the line.
  assert.deepEqual(sizes(rules(0, 4), { able: 2, others: 1 }), [1, 1, 2, 2, 3, 3, 4, 4, 4, 4])
})

test('batchSize() with a delay takes the largest preferred size that the line fills, unshared', () => {
  const able = { able: 2, others: 1 }
  assert.deepEqual(sizes(rules(5, 3, 6), able), [1, 1, 3, 3, 3, 6, 6, 6, 6, 6])
})

test('isFilled() holds from the smallest preferred size on, without one from the largest batch on', () => {
  const filled = (of: ReturnType<typeof rules>) =>
    Array.from({ length: 10 }, (_, i) => i + 1).filter((waiting) => isFilled(waiting, of))
  assert.deepEqual(filled(rules(5)), [8, 9, 10])
  assert.deepEqual(filled(rules(5, 6, 7)), [6, 7, 8, 9, 10])
})
