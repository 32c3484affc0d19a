import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pack } from '../../../src/dataset/pack.ts'
import type { ImageSource } from '../../../src/image/source.ts'
import { judgedImages } from '../../../src/worker/judged-images.ts'

/** One pixel an image: its place, counted over all splits. */
function source(first: number, labels: readonly number[]): ImageSource {
  return {
    count: labels.length,
    size: 1,
    channels: 1,
    labels: Int32Array.from(labels),
    read(positions, into) {
      for (let i = 0; i < positions.length; i++) into[i] = first + (positions[i] ?? 0)
    }
  }
}

const pack: Pack = {
  size: 1,
  channels: 1,
  labels: ['b', 'a'],
  train: source(0, [0, 0, 1]),
  validation: source(3, []),
  test: source(3, [1, 0]),
  mean: 0,
  std: 1,
  close() {}
}

const read = (from: ImageSource, positions: readonly number[]): number[] => {
  const into = new Uint8Array(positions.length)
  from.read(positions, into)
  return [...into]
}

test('a split has the labels of the model', () => {
  const images = judgedImages(pack, { labels: ['a', 'b', 'c'], split: 'test' })
  assert.deepEqual([images.count, [...images.labels]], [2, [0, 1]])
  assert.deepEqual(read(images, [0, 1]), [3, 4])
})

test('all splits are read one after the other, a batch across their borders', () => {
  const images = judgedImages(pack, { labels: ['a', 'b'], split: 'all' })
  assert.deepEqual([images.count, [...images.labels]], [5, [1, 1, 0, 0, 1]])
  assert.deepEqual(read(images, [0, 1, 2, 3, 4]), [0, 1, 2, 3, 4])
  assert.deepEqual(read(images, [2, 3]), [2, 3])
  assert.deepEqual(read(images, [4]), [4])
})

test('a class that the model lacks has no index, and a place beyond the end is refused', () => {
  const images = judgedImages(pack, { labels: ['a'], split: 'all' })
  assert.deepEqual([...images.labels], [-1, -1, 0, 0, -1])
  assert.throws(() => read(images, [5]), /within 0..4, received 5/)
  assert.throws(() => read(images, [3, 0]), /received 0/)
})
