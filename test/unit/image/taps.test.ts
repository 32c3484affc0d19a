import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { tapsOf } from '../../../src/image/taps.ts'

test('tapsOf() gives weights that sum to 1, inside the source where they are not zero', () => {
  const side = fc.integer({ min: 1, max: 300 })
  fc.assert(
    fc.property(side, side, fc.constantFrom(2, 4, 8), (size, count, multiple) => {
      const { starts, weights, taps } = tapsOf({ size, from: 0, length: size, count }, multiple)
      assert.equal(taps % multiple, 0)
      for (let i = 0; i < count; i++) {
        const own = weights.subarray(i * taps, (i + 1) * taps)
        assert.equal(
          own.reduce((a, b) => a + b, 0),
          1 << 14
        )
        const start = starts[i] ?? -1
        assert.ok(start >= 0)
        assert.ok(start + taps <= Math.max(size, taps))
        assert.ok(own.every((weight, k) => weight === 0 || start + k < size))
      }
    })
  )
})

test('tapsOf() leaves pixels as they are where the sides are equal', () => {
  const { starts, weights, taps } = tapsOf({ size: 9, from: 0, length: 9, count: 9 }, 2)
  for (let i = 0; i < 9; i++) {
    for (let k = 0; k < taps; k++) {
      assert.equal(weights[i * taps + k], (starts[i] ?? 0) + k === i ? 1 << 14 : 0)
    }
  }
})

test('tapsOf() is the cubic of Keys (1981): -1/16, 9/16, 9/16, -1/16 half way between two pixels', () => {
  const { starts, weights, taps } = tapsOf({ size: 8, from: 3.5, length: 1, count: 1 }, 2)
  assert.deepEqual([starts[0], taps], [2, 4])
  assert.deepEqual([...weights], [-1024, 9216, 9216, -1024])
})
