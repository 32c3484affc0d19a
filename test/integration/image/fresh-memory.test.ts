/** The first image of a process must fit as well as the hundredth, when the memory has grown. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { InputShape } from '../../../src/image/shape.ts'

const sides = [
  [1000, 1000],
  [640, 480],
  [1024, 768],
  [500, 1900],
  [1900, 500],
  [3, 900],
  [900, 3],
  [1, 1]
] as const

async function resampleOnce(width: number, height: number, shape: InputShape): Promise<Uint8Array> {
  const file = new URL('../../support/resample-once.ts', import.meta.url)
  const worker = new Worker(file, { workerData: { width, height, shape } })
  const [pixels] = (await once(worker, 'message')) as [Uint8Array]
  await worker.terminate()
  return pixels
}

for (const [width, height] of sides) {
  test(`a process whose first image is ${width}x${height} resamples it, whatever it is made into`, async () => {
    for (const size of [8, 20, 32, 224]) {
      for (const resize of ['stretch', 'cover', 'contain'] as const) {
        for (const channels of [1, 3] as const) {
          const pixels = await resampleOnce(width, height, { size, resize, channels })
          assert.equal(pixels.length, size * size * channels)
          const wanted = resize === 'contain' ? [0, 77] : [77]
          assert.ok(pixels.every((value) => wanted.includes(value)))
        }
      }
    }
  })
}
