import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Raster } from '../../../src/image/raster.ts'
import { canvas, resample } from '../../../src/image/resample.ts'
import { tapsOf } from '../../../src/image/taps.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'

function noise(width: number, height: number, channels: 1 | 3): Raster {
  const random = new Random(randomKey(3, 'noise', width, height))
  const pixels = new Uint8Array(width * height * channels).map(() => random.between(0, 256))
  return { width, height, channels, pixels }
}

/** One side resampled in plain sums; `at` gives the source, `put` takes results. */
function plain(
  { size, count }: { size: number; count: number },
  at: (i: number) => number,
  put: (i: number, value: number) => void
): void {
  const { starts, weights, taps } = tapsOf({ size, from: 0, length: size, count }, 1)
  for (let i = 0; i < count; i++) {
    let sum = 1 << 13
    for (let k = 0; k < taps; k++) {
      const weight = weights[i * taps + k] ?? 0
      if (weight !== 0) sum += weight * at((starts[i] ?? 0) + k)
    }
    put(i, Math.min(255, Math.max(0, sum >> 14)))
  }
}

function plainColumns({ width, height, channels, pixels }: Raster, count: number): Raster {
  const out = new Uint8Array(width * count * channels)
  for (let i = 0; i < width * channels; i++) {
    const stride = width * channels
    plain(
      { size: height, count },
      (y) => pixels[y * stride + i] ?? 0,
      (y, value) => out.fill(value, y * stride + i, y * stride + i + 1)
    )
  }
  return { width, height: count, channels, pixels: out }
}

function plainRows({ width, height, channels, pixels }: Raster, count: number): Raster {
  const out = new Uint8Array(count * height * channels)
  for (let y = 0; y < height; y++) {
    for (let c = 0; c < channels; c++) {
      plain(
        { size: width, count },
        (x) => pixels[(y * width + x) * channels + c] ?? 0,
        (x, value) => {
          out[(y * count + x) * channels + c] = value
        }
      )
    }
  }
  return { width: count, height, channels, pixels: out }
}

test('resample() gives what plain sums give, to the last bit, for all sides', () => {
  const side = fc.integer({ min: 1, max: 70 })
  const property = fc.property(
    side,
    side,
    fc.integer({ min: 1, max: 48 }),
    fc.constantFrom<1 | 3>(1, 3),
    (width, height, size, channels) => {
      const source = noise(width, height, channels)
      const rowsFirst = size * width <= height * size
      const expected = rowsFirst
        ? plainRows(plainColumns(source, size), size)
        : plainColumns(plainRows(source, size), size)
      assert.deepEqual(resample(source, { size, channels, resize: 'stretch' }), expected.pixels)
    }
  )
  fc.assert(property, { numRuns: 200 })
})

test('resample() takes pixels from its canvas, also when its memory has to grow', () => {
  const source = noise(900, 900, 3)
  const shape = { size: 300, channels: 3, resize: 'stretch' } as const
  const expected = resample(source, shape)
  const pixels = canvas(source.pixels.length)
  pixels.set(source.pixels)
  assert.deepEqual(resample({ ...source, pixels }, shape), expected)
})

test('resample() does not see what an image before left behind', () => {
  const small = noise(5, 4, 3)
  const shape = { size: 8, channels: 3, resize: 'stretch' } as const
  const first = resample(small, shape)
  resample({ ...noise(200, 150, 3), pixels: new Uint8Array(200 * 150 * 3).fill(255) }, shape)
  assert.deepEqual(resample(small, shape), first)
})

test('resample() of a flat image is flat, whatever the sides', () => {
  for (const value of [0, 1, 127, 255]) {
    for (const [width, height] of [[1, 1] as const, [3, 50] as const, [400, 7] as const]) {
      const pixels = new Uint8Array(width * height).fill(value)
      const raster = { width, height, channels: 1, pixels } as const
      const out = resample(raster, { size: 20, channels: 1, resize: 'stretch' })
      assert.ok(out.every((pixel) => pixel === value))
    }
  }
})

test('resample() covers with the exact centre and contains between equal bars', () => {
  // Columns 0..7: the middle four are 200.
  const pixels = Uint8Array.from({ length: 8 * 4 }, (_, i) => (i % 8 >= 2 && i % 8 < 6 ? 200 : 10))
  const raster = { width: 8, height: 4, channels: 1, pixels } as const
  const cover = resample(raster, { size: 4, channels: 1, resize: 'cover' })
  assert.deepEqual([...cover], new Array(16).fill(200))
  const contain = resample(raster, { size: 8, channels: 1, resize: 'contain' })
  assert.deepEqual([...contain.subarray(0, 16)], new Array(16).fill(0))
  assert.deepEqual(contain.subarray(16, 48), pixels)
  assert.deepEqual([...contain.subarray(48)], new Array(16).fill(0))
})
