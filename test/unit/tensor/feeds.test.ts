import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkFeeds } from '../../../src/tensor/feeds.ts'

const inputs = {
  images: { shape: [2, 3], dtype: 'uint8' },
  rate: { shape: [], dtype: 'float32' }
} as const

test('checkFeeds() returns arrays in the order of the inputs and takes numbers for scalars', () => {
  const images = new Uint8Array(6)
  const [first, second] = checkFeeds(inputs, { rate: 0.5, images })
  assert.equal(first, images)
  assert.deepEqual(second, Float32Array.of(0.5))
})

test('checkFeeds() refuses what is missing, unknown, too short or of another type', () => {
  const images = new Uint8Array(6)
  assert.throws(() => checkFeeds(inputs, { images }), /Cannot feed rate.*received nothing/)
  assert.throws(() => checkFeeds(inputs, { images, rate: 1, x: 1 }), /no input x/)
  const short = { images: new Uint8Array(5), rate: 1 }
  assert.throws(() => checkFeeds(inputs, short), /6 elements \[2,3\], received 5/)
  const float = { images: new Float32Array(6), rate: 1 }
  assert.throws(() => checkFeeds(inputs, float), /it is uint8, received Float32Array/)
})
