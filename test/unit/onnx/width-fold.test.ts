import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { foldKernel } from '../../../src/onnx/width-fold.ts'

interface Case {
  readonly kh: number
  readonly kw: number
  readonly c: number
  readonly o: number
}

/** y[o, y, x] of a 'same' convolution of image [h][w·c] with an HWIO kernel, straight from the definition. */
function direct(image: number[][], kernel: Int8Array, { kh, kw, c, o }: Case): number[][][] {
  const [top, left] = [Math.floor((kh - 1) / 2), Math.floor((kw - 1) / 2)]
  const w = (image[0]?.length ?? 0) / c
  return Array.from({ length: o }, (_, out) =>
    image.map((_, y) =>
      Array.from({ length: w }, (_, x) => {
        let sum = 0
        for (let dy = 0; dy < kh; dy++)
          for (let dx = 0; dx < kw; dx++)
            for (let i = 0; i < c; i++) {
              const column = x + dx - left
              const pixel = column < 0 ? 0 : (image[y + dy - top]?.[column * c + i] ?? 0)
              sum += pixel * (kernel[((dy * kw + dx) * c + i) * o + out] ?? 0)
            }
        return sum
      })
    )
  )
}

/** The same through the folded kernel: groups of four pixels as channels. */
function throughGroups(image: number[][], kernel: Int8Array, { kh, kw, c, o }: Case): number[][][] {
  const folded = foldKernel(kernel, [kh, kw, c, o])
  const [wide, deep, , groups] = folded.shape
  const top = Math.floor((kh - 1) / 2)
  const w = (image[0]?.length ?? 0) / c
  const sums = Array.from({ length: o }, () => image.map(() => new Array<number>(w).fill(0)))
  for (let channel = 0; channel < wide; channel++)
    for (let y = 0; y < image.length; y++)
      for (let g = 0; g < w / 4; g++) {
        let sum = 0
        for (let d = 0; d < deep; d++)
          for (let dy = 0; dy < kh; dy++)
            for (let dg = 0; dg < groups; dg++) {
              const group = g + dg - folded.left
              const pixel = group < 0 ? 0 : (image[y + dy - top]?.[group * deep + d] ?? 0)
              sum += pixel * (folded.data[((channel * deep + d) * kh + dy) * groups + dg] ?? 0)
            }
        const row = sums[channel % o]?.[y]
        if (row) row[g * 4 + Math.floor(channel / o)] = sum
      }
  return sums
}

describe('foldKernel()', () => {
  it('computes the same sums as the kernel it folds, for any size and channels', () => {
    const cases = fc.record({
      kh: fc.integer({ min: 1, max: 5 }),
      kw: fc.integer({ min: 1, max: 11 }),
      c: fc.constantFrom(1, 3),
      o: fc.constantFrom(1, 4),
      seed: fc.integer({ min: 1, max: 1000 })
    })
    fc.assert(
      fc.property(cases, ({ seed, ...size }) => {
        const { kh, kw, c, o } = size
        const kernel = Int8Array.from({ length: kh * kw * c * o }, (_, i) => (i * 37 * seed) % 127)
        const image = Array.from({ length: 3 }, (_, y) =>
          Array.from({ length: 12 * c }, (_, x) => (x * 7 + y * 31 * seed) % 255)
        )
        assert.deepEqual(throughGroups(image, kernel, size), direct(image, kernel, size))
      }),
      { numRuns: 60 }
    )
  })
})
