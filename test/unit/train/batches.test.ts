import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ImageSource } from '../../../src/image/source.ts'
import { batchReader, inOrder } from '../../../src/train/batches.ts'
import { sampleOf } from '../../../src/train/sample.ts'
import { scoreOf } from '../../../src/train/score.ts'

/** Image i is one pixel of value i with label i % 3. */
const pixels = (count: number): ImageSource => ({
  count,
  size: 1,
  channels: 1,
  labels: Int32Array.from({ length: count }, (_, i) => i % 3),
  read(positions, into) {
    for (let i = 0; i < positions.length; i++) into[i] = positions[i] as number
  }
})

describe('batchReader()', () => {
  it('cuts an order into batches and weighs every image alike', () => {
    const reader = batchReader(pixels(6), 3)
    const batch = reader.read([5, 4, 3, 2, 1, 0], 1)
    assert.deepEqual([reader.size, reader.count, batch.images], [3, 2, 3])
    assert.deepEqual([...batch.pixels], [2, 1, 0])
    assert.deepEqual([...batch.labels], [2, 1, 0])
    assert.deepEqual(batch.weights, new Float32Array(3).fill(1 / 3))
  })
  it('fills the last batch from the beginning, at weight zero', () => {
    const reader = batchReader(pixels(7), 3)
    assert.equal(reader.count, 3)
    const batch = reader.read([6, 5, 4, 3, 2, 1, 0], 2)
    assert.equal(batch.images, 1)
    assert.deepEqual([...batch.pixels], [0, 6, 5])
    assert.deepEqual([...batch.weights], [1, 0, 0])
  })
  it('reads every image of an epoch once, whatever the batch size', () => {
    for (const size of [1, 2, 5, 7, 64]) {
      const reader = batchReader(pixels(7), size)
      const seen = []
      for (let i = 0; i < reader.count; i++) {
        const batch = reader.read(inOrder(7), i)
        seen.push(...batch.pixels.subarray(0, batch.images))
      }
      assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6])
    }
  })
  it('is never larger than the source, and refuses an empty one', () => {
    assert.equal(batchReader(pixels(4), 128).size, 4)
    assert.throws(() => batchReader(pixels(0), 8), /holds no image/)
  })
})

describe('sampleOf()', () => {
  const positionsOf = async (count: number, images: number, seed = 1) => {
    const seen: number[] = []
    for await (const { positions } of sampleOf(pixels(count), { images, seed }).walk()) {
      seen.push(...positions)
    }
    return seen
  }
  it('walks full batches of different images, chosen by the seed', async () => {
    const seen = await positionsOf(1000, 300)
    assert.equal(seen.length, 256)
    assert.equal(new Set(seen).size, 256)
    assert.deepEqual(seen, await positionsOf(1000, 300))
    assert.notDeepEqual(seen, await positionsOf(1000, 300, 2))
  })
  it('takes the whole of a source that is smaller', async () => {
    assert.deepEqual(
      (await positionsOf(50, 300)).sort((a, b) => a - b),
      [...inOrder(50)]
    )
  })
})

describe('scoreOf()', () => {
  it('is accuracy and mean cross-entropy, computed by hand', () => {
    const probabilities = Float32Array.of(0.5, 0.25, 0.25, 0.25, 0.5, 0.25)
    const { accuracy, loss } = scoreOf(probabilities, Int32Array.of(0, 2))
    assert.equal(accuracy, 0.5)
    assert.ok(Math.abs(loss - (Math.log(2) + Math.log(4)) / 2) < 1e-12)
  })
  it('stays finite where a certain answer is wrong', () => {
    assert.ok(Number.isFinite(scoreOf(Float32Array.of(0, 1), Int32Array.of(0)).loss))
  })
})
