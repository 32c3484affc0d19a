import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { drawAugmentation } from '../../../src/augment/draw.ts'
import type { AugmentOp } from '../../../src/contract/recipe.ts'
import { warp } from '../../support/warp.ts'

const everything: AugmentOp[] = [
  { op: 'flip', axis: 'vertical', probability: 0.5 },
  { op: 'rotate', degrees: 30 },
  { op: 'scale', range: [0.8, 1.25] },
  { op: 'translate', x: 0.1, y: 0.1 },
  { op: 'randomCrop', padding: 3 },
  { op: 'randomResizedCrop' },
  { op: 'brightness', amount: 0.4 },
  { op: 'contrast', amount: 0.4 },
  { op: 'saturation', amount: 0.4 }
]
const options = { seed: 11, epoch: 2, samples: [0], size: 8, channels: 3 as const }
const ramp = (size: number) => Array.from({ length: size * size }, (_, i) => (i * 37) % 251)

const matrixOf = (ops: AugmentOp[], more: object = {}) => {
  const { matrices } = drawAugmentation(ops, { ...options, ...more })
  assert.ok(matrices)
  return matrices
}

test('drawAugmentation() rejects ops that cannot be used', () => {
  assert.throws(() => drawAugmentation([{ op: 'scale', range: [2, 1] }], options), {
    name: 'RangeError',
    message: /2 to 1.*scale\/range/
  })
  const grey = { ...options, channels: 1 as const }
  assert.throws(() => drawAugmentation([{ op: 'saturation', amount: 0.1 }], grey), RangeError)
})

test('drawAugmentation() gives null where there is nothing to do', () => {
  assert.deepEqual(drawAugmentation([], options), { matrices: null, colour: null })
  const flip = drawAugmentation([{ op: 'flip' }], options)
  assert.ok(flip.matrices instanceof Float32Array && flip.colour === null)
})

test('drawAugmentation() leaves pixels untouched at strength zero', () => {
  const nothing: AugmentOp[] = [
    { op: 'flip', probability: 0 },
    { op: 'rotate', degrees: 0 },
    { op: 'scale', range: [1, 1] },
    { op: 'translate', x: 0, y: 0 },
    { op: 'randomResizedCrop', scale: [1, 1] },
    { op: 'brightness', amount: 0 },
    { op: 'contrast', amount: 0 },
    { op: 'saturation', amount: 0 }
  ]
  const { matrices, colour } = drawAugmentation(nothing, options)
  assert.deepEqual(
    [...(matrices ?? [])].map((v) => v + 0),
    [1, 0, 0, 0, 1, 0, 0, 0]
  )
  const expected = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
  for (const [i, value] of (colour ?? []).entries()) {
    assert.ok(Math.abs(value - (expected[i] as number)) < 1e-6)
  }
})

for (const size of [7, 8, 28]) {
  test(`drawAugmentation() flips ${size} pixels exactly`, () => {
    const flipped = warp(ramp(size), size, matrixOf([{ op: 'flip', probability: 1 }], { size }))
    const rows = Array.from({ length: size }, (_, y) =>
      ramp(size)
        .slice(y * size, (y + 1) * size)
        .reverse()
    )
    assert.deepEqual(flipped, rows.flat())
  })

  test(`drawAugmentation() flips ${size} pixels twice into a half turn, exactly`, () => {
    const both: AugmentOp[] = [
      { op: 'flip', probability: 1 },
      { op: 'flip', axis: 'vertical', probability: 1 }
    ]
    assert.deepEqual(warp(ramp(size), size, matrixOf(both, { size })), ramp(size).reverse())
  })
}

test('drawAugmentation() applies the ops in their order', () => {
  // Output x reads (x - d) / 2 after zooming and then shifting, x / 2 - d the other way round.
  const zoom: AugmentOp = { op: 'scale', range: [2, 2] }
  const same: AugmentOp = { op: 'scale', range: [1, 1] }
  const shift: AugmentOp = { op: 'translate', x: 1 }
  const at = (ops: AugmentOp[]) => matrixOf(ops)[2] as number
  const [second, first] = [-at([same, shift]), -at([shift, same])]
  assert.ok(Math.abs(second) > 0.01 && Math.abs(first) > 0.01)
  assert.ok(Math.abs(at([zoom, shift]) - (3.5 / 2 - second / 2)) < 1e-5)
  assert.ok(Math.abs(at([shift, zoom]) - (3.5 / 2 - first)) < 1e-5)
})

test('drawAugmentation() reads larger stored images at the network size', () => {
  // Stored 8, read at 4: output pixel x lies between stored pixels 2x and 2x + 1.
  const matrix = matrixOf([], { inputSize: 4 })
  assert.deepEqual([...matrix], [2, 0, 0.5, 0, 2, 0.5, 0, 0])
  const image = ramp(8)
  const [first] = warp(image, 8, matrix, 4)
  const mean = [0, 1, 8, 9].reduce((sum, i) => sum + (image[i] as number) / 4, 0)
  assert.ok(Math.abs((first as number) - mean) < 1e-9)
})

test('drawAugmentation() composes colour by hand', () => {
  // Contrast 2 about 127.5 after brightness 2 would be 4v - 127.5; factors are drawn, so solve for them.
  const ops: AugmentOp[] = [
    { op: 'brightness', amount: 0.5 },
    { op: 'contrast', amount: 0.5 }
  ]
  const m = drawAugmentation(ops, options).colour as Float32Array
  const b = (drawAugmentation(ops.slice(0, 1), options).colour as Float32Array)[0] as number
  const c = (m[0] as number) / b
  assert.ok(Math.abs((m[3] as number) - 127.5 * (1 - c)) < 1e-3)
  assert.deepEqual([m[5], m[10], m[7], m[11]], [m[0], m[0], m[3], m[3]])
})

test('drawAugmentation() depends on seed, epoch and position only', () => {
  fc.assert(
    fc.property(
      fc.record({ seed: fc.integer({ min: 0 }), epoch: fc.nat(1000) }),
      fc.uniqueArray(fc.nat(100_000), { minLength: 2, maxLength: 20 }),
      (at, samples) => {
        const batch = drawAugmentation(everything, { ...options, ...at, samples })
        samples.forEach((sample, i) => {
          const alone = drawAugmentation(everything, { ...options, ...at, samples: [sample] })
          assert.deepEqual(alone.matrices, batch.matrices?.slice(i * 8, i * 8 + 8))
          assert.deepEqual(alone.colour, batch.colour?.slice(i * 12, i * 12 + 12))
        })
      }
    ),
    { numRuns: 50 }
  )
})

test('drawAugmentation() gives other draws for another seed, epoch, position or op index', () => {
  const rotate: AugmentOp = { op: 'rotate', degrees: 30 }
  const draws = [
    matrixOf([rotate]),
    matrixOf([rotate], { seed: 12 }),
    matrixOf([rotate], { epoch: 3 }),
    matrixOf([rotate], { samples: [1] }),
    matrixOf([{ op: 'flip', probability: 0 }, rotate])
  ]
  assert.equal(new Set(draws.map((m) => m.join())).size, draws.length)
})
