import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { flip } from '../../../src/augment/geometric/flip.ts'
import { randomCrop } from '../../../src/augment/geometric/random-crop.ts'
import { randomResizedCrop } from '../../../src/augment/geometric/random-resized-crop.ts'
import { rotate } from '../../../src/augment/geometric/rotate.ts'
import { scale } from '../../../src/augment/geometric/scale.ts'
import { translate } from '../../../src/augment/geometric/translate.ts'
import { augmentFaults } from '../../../src/augment/transforms.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'

const seeds = fc.integer({ min: 0, max: 0xffffffff })
const drawn = new Float64Array(4)
const matrix = new Float64Array(6)
const matrixOf = (transform: { matrix(d: Float64Array, m: Float64Array): void }, d: number[]) => {
  transform.matrix(Float64Array.from(d), matrix)
  return [...matrix].map((v) => Math.round(v * 1e6) / 1e6 + 0)
}

test('flip() mirrors x or y about the centre', () => {
  assert.deepEqual(matrixOf(flip, [-1, 1]), [-1, 0, 0, 0, 1, 0])
  assert.deepEqual(matrixOf(flip, [1, -1]), [1, 0, 0, 0, -1, 0])
})

test('flip() happens as often as its probability says', () => {
  const random = new Random(randomKey(1, 'flip'))
  let flipped = 0
  for (let i = 0; i < 10_000; i++) {
    flip.draw(random.at(i), { op: 'flip', axis: 'horizontal', probability: 0.3 }, 28, drawn)
    if (drawn[0] === -1) flipped++
    assert.equal(drawn[1], 1)
  }
  assert.ok(Math.abs(flipped / 10_000 - 0.3) < 0.02)
})

test('rotate() reads a counter-clockwise quarter turn from the right places', () => {
  // The output's top (0, -1) shows what was on the right (1, 0).
  const [a, b, , c, d] = matrixOf(rotate, [Math.PI / 2]) as number[]
  assert.deepEqual([-(b as number), -(d as number) + 0], [1, 0])
  assert.deepEqual([a, c], [0, 1])
})

test('rotate() stays within its degrees', () => {
  fc.assert(
    fc.property(seeds, fc.double({ min: 0, max: 180, noNaN: true }), (seed, degrees) => {
      rotate.draw(new Random(randomKey(seed)), { op: 'rotate', degrees }, 28, drawn)
      assert.ok(Math.abs(drawn[0] as number) <= (degrees * Math.PI) / 180 + 1e-12)
    })
  )
})

test('scale() zooms in for factors above one and is its own mean in logarithms', () => {
  assert.deepEqual(matrixOf(scale, [2]), [0.5, 0, 0, 0, 0.5, 0])
  const random = new Random(randomKey(5, 'scale'))
  let sum = 0
  for (let i = 0; i < 10_000; i++) {
    scale.draw(random.at(i), { op: 'scale', range: [0.5, 2] }, 28, drawn)
    const zoom = drawn[0] as number
    assert.ok(zoom >= 0.5 && zoom <= 2)
    sum += Math.log(zoom)
  }
  assert.ok(Math.abs(sum / 10_000) < 0.02)
})

test('translate() shifts by fractions of the side, independently', () => {
  assert.deepEqual(matrixOf(translate, [3, -2]), [1, 0, -3, 0, 1, 2])
  const random = new Random(randomKey(5, 'translate'))
  for (let i = 0; i < 1000; i++) {
    translate.draw(random.at(i), { op: 'translate', x: 0.25, y: 0 }, 20, drawn)
    assert.ok(Math.abs(drawn[0] as number) <= 5)
    assert.equal(Math.abs(drawn[1] as number), 0)
  }
})

test('randomCrop() shifts by whole pixels, every one of -padding..padding', () => {
  const random = new Random(randomKey(5, 'crop'))
  const seen = new Set<number>()
  for (let i = 0; i < 1000; i++) {
    randomCrop.draw(random.at(i), { op: 'randomCrop', padding: 2 }, 28, drawn)
    seen.add(drawn[0] as number)
    seen.add(drawn[1] as number)
  }
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    [-2, -1, 0, 1, 2]
  )
})

test('randomResizedCrop() keeps the drawn area and stays inside the image', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.tuple(
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.double({ min: 0.01, max: 1, noNaN: true })
      ),
      (seed, [a, b]) => {
        const range = [Math.min(a, b), Math.max(a, b)]
        const options = { op: 'randomResizedCrop' as const, scale: range, ratio: [0.5, 3] }
        randomResizedCrop.draw(new Random(randomKey(seed)), options, 32, drawn)
        const [w, h, x, y] = drawn as unknown as [number, number, number, number]
        assert.ok(w * h >= (range[0] as number) - 1e-9 && w * h <= (range[1] as number) + 1e-9)
        assert.ok(Math.abs(x) <= (1 - w) * 16 + 1e-9 && Math.abs(y) <= (1 - h) * 16 + 1e-9)
      }
    )
  )
})

test('randomResizedCrop() of the whole image is the identity', () => {
  const options = { op: 'randomResizedCrop' as const, scale: [1, 1], ratio: [0.75, 1.5] }
  randomResizedCrop.draw(new Random(randomKey(1)), options, 32, drawn)
  assert.deepEqual(matrixOf(randomResizedCrop, [...drawn]), [1, 0, 0, 0, 1, 0])
})

test('augmentFaults() names ranges that are the wrong way round and a shift of nothing', () => {
  const pointers = (op: Parameters<typeof augmentFaults>[0]) =>
    augmentFaults(op, 3).map((f) => f.pointer)
  assert.deepEqual(pointers({ op: 'scale', range: [2, 1] }), ['/range'])
  assert.deepEqual(pointers({ op: 'randomResizedCrop', scale: [1, 0.5], ratio: [2, 1] }), [
    '/scale',
    '/ratio'
  ])
  assert.deepEqual(pointers({ op: 'translate' }), [''])
  assert.deepEqual(pointers({ op: 'translate', y: 0 }), [])
  assert.deepEqual(pointers({ op: 'scale', range: [1, 1] }), [])
})
