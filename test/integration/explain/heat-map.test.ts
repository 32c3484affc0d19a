import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import { normalized, overlay, rounded } from '../../../src/explain/heat-map.ts'

test('maps are told between 0 and 1, the largest being 1', () => {
  const map = normalized([
    [-1, 0.5],
    [2, 0]
  ])
  assert.deepEqual(map, [
    [0, 0.25],
    [1, 0]
  ])
  assert.deepEqual(normalized([[-1, 0]]), [[0, 0]])
  assert.deepEqual(rounded([[1 / 3]]), [[0.333333]])
})

test('an overlay is coloured where the map says so and grey elsewhere, and large enough to be seen', async () => {
  const pixels = new Uint8Array(8 * 8).fill(100)
  const map = Array.from({ length: 8 }, (_, y) =>
    Array.from({ length: 8 }, (_, x) => (x < 4 && y < 4 ? 1 : 0))
  )
  const png = await overlay({ pixels, size: 8, channels: 1 }, map)
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  assert.deepEqual([info.width, info.height, info.channels], [224, 224, 3])
  const at = (x: number, y: number) => [...data.subarray((y * 224 + x) * 3, (y * 224 + x) * 3 + 3)]
  assert.deepEqual(at(10, 10), [209, 209, 30])
  assert.deepEqual(at(200, 200), [100, 100, 100])
})
