import assert from 'node:assert/strict'
import { test } from 'node:test'
import { independentDrop } from '../../../src/evaluate/independent-drop.ts'
import { wilson } from '../../../src/evaluate/wilson.ts'

const estimate = (right: number, images: number) => ({
  value: right / images,
  ci95: wilson(right, images),
  images
})

// Newcombe 1998, table II, method 10.
test('independentDrop() gives the intervals of the paper', () => {
  const cases = [
    [56, 70, 48, 80, 0.0524, 0.3339],
    [5, 56, 0, 29, -0.0381, 0.1926],
    [9, 10, 3, 10, 0.1705, 0.809],
    [10, 10, 0, 10, 0.6075, 1]
  ] as const
  for (const [a, n, b, m, low, high] of cases) {
    const { value, ci95 } = independentDrop(estimate(a, n), estimate(b, m))
    assert.equal(value, a / n - b / m)
    assert.deepEqual(
      ci95.map((end) => Number(end.toFixed(4))),
      [low, high]
    )
  }
})
