import assert from 'node:assert/strict'
import { test } from 'node:test'
import { occlusion, patchStarts } from '../../../src/explain/occlusion.ts'

const size = 12

/** Class 1 by how bright the top left quarter is, and by nothing else. */
async function ask(images: Uint8Array, n: number): Promise<Float32Array> {
  const scores = new Float32Array(2 * n)
  for (let i = 0; i < n; i++) {
    let sum = 0
    for (let y = 0; y < 6; y++) {
      for (let x = 0; x < 6; x++) sum += images[i * size * size + y * size + x] ?? 0
    }
    scores[2 * i + 1] = sum / (36 * 255)
    scores[2 * i] = 1 - (scores[2 * i + 1] ?? 0)
  }
  return scores
}

const image = (level: (x: number, y: number) => number): Uint8Array =>
  Uint8Array.from({ length: size * size }, (_, i) => level(i % size, Math.floor(i / size)))

test('only what the answer depends on loses by being covered', async () => {
  const pixels = image((x, y) => (x < 6 && y < 6 ? 240 : 10))
  const { label, score, drops } = await occlusion({ ask, pixels, size, channels: 1, label: null })
  assert.equal(label, 1)
  assert.ok(Math.abs(score - 240 / 255) < 1e-6)
  for (const [y, row] of drops.entries()) {
    for (const [x, drop] of row.entries()) {
      const inside = x < 6 && y < 6
      // A patch of 2 starts at every pixel: those at the border of the quarter reach one further.
      if (x > 6 || y > 6) assert.equal(drop, 0, `${x}, ${y}`)
      if (inside) assert.ok(drop > 0, `${x}, ${y}`)
    }
  }
})

test('for the other label, the same pixels speak against it', async () => {
  const pixels = image((x, y) => (x < 6 && y < 6 ? 240 : 10))
  const { label, score, drops } = await occlusion({ ask, pixels, size, channels: 1, label: 0 })
  assert.equal(label, 0)
  assert.ok(score < 0.1)
  assert.ok(Number(drops[2]?.[2]) < 0)
})

test('an image of one colour has nothing to cover', async () => {
  const pixels = image(() => 200)
  const { drops } = await occlusion({ ask, pixels, size, channels: 1, label: null })
  assert.ok(drops.flat().every((drop) => drop === 0))
})

test('patches reach every pixel, and none lies outside', () => {
  for (const side of [1, 2, 5, 28, 32, 96, 224]) {
    const patch = Math.max(1, Math.round(side / 5))
    const starts = patchStarts(side, patch)
    const covered = new Set(starts.flatMap((at) => Array.from({ length: patch }, (_, i) => at + i)))
    assert.deepEqual(
      [...covered].toSorted((a, b) => a - b),
      Array.from({ length: side }, (_, i) => i)
    )
  }
})
