import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { brightness } from '../../../src/augment/colour/brightness.ts'
import { contrast } from '../../../src/augment/colour/contrast.ts'
import { saturation } from '../../../src/augment/colour/saturation.ts'
import { augmentFaults } from '../../../src/augment/transforms.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'

const apply = (
  transform: { matrix(d: Float64Array, m: Float64Array): void },
  factor: number,
  pixel: readonly number[]
): number[] => {
  const m = new Float64Array(12)
  transform.matrix(Float64Array.of(factor), m)
  const full = [...pixel, 1]
  return [0, 4, 8].map((row) => {
    const sum = full.reduce((total, v, i) => total + v * (m[row + i] as number), 0)
    return Math.round(sum * 1e6) / 1e6
  })
}

test('brightness() multiplies', () => {
  assert.deepEqual(apply(brightness, 1.5, [10, 20, 30]), [15, 30, 45])
})

test('contrast() leaves mid-grey where it is', () => {
  assert.deepEqual(apply(contrast, 0.5, [127.5, 127.5, 127.5]), [127.5, 127.5, 127.5])
  assert.deepEqual(apply(contrast, 2, [137.5, 117.5, 127.5]), [147.5, 107.5, 127.5])
})

test('saturation() at zero is luma, and greys stay as they are at any strength', () => {
  assert.deepEqual(apply(saturation, 0, [100, 0, 0]), [29.9, 29.9, 29.9])
  assert.deepEqual(apply(saturation, 1.7, [80, 80, 80]), [80, 80, 80])
})

for (const [name, transform] of Object.entries({ brightness, contrast, saturation })) {
  test(`${name}() is the identity at strength one`, () => {
    assert.deepEqual(apply(transform, 1, [12, 130, 250]), [12, 130, 250])
  })

  test(`${name}() draws within 1 ± amount`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, amount) => {
          const drawn = new Float64Array(4)
          const draw = transform.draw as typeof brightness.draw
          draw(new Random(randomKey(seed)), { op: 'brightness', amount }, 28, drawn)
          assert.ok(Math.abs((drawn[0] as number) - 1) <= amount + 1e-12)
        }
      )
    )
  })
}

test('augmentFaults() refuses saturation on grey images only', () => {
  assert.deepEqual(augmentFaults({ op: 'saturation', amount: 0.1 }, 3), [])
  const [fault] = augmentFaults({ op: 'saturation', amount: 0.1 }, 1)
  assert.equal(fault?.pointer, '/op')
  assert.deepEqual(augmentFaults({ op: 'contrast', amount: 0.1 }, 1), [])
})
