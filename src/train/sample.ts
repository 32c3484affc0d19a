/** A seeded choice of images, cut into full batches: what estimates over part of a source read. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ImageSource } from '../image/source.ts'
import { permutation, randomKey } from '../tensor/random.ts'
import { type Batch, type BatchReader, batchReader } from './batches.ts'

export interface SampleOptions {
  /** About how many images to read; rounded down to full batches, one at least. */
  readonly images: number
  readonly seed: number
}

const BATCH = 128

export interface Sample {
  readonly batch: number
  readonly batches: number
  /** Yields to the event loop before every batch. What a batch holds is valid until the next one. */
  walk(): AsyncGenerator<Batch>
}

/** @throws RangeError when the source is empty. */
export const sampleOf = (source: ImageSource, { images, seed }: SampleOptions): Sample => {
  const reader: BatchReader = batchReader(source, Math.max(1, Math.min(BATCH, images)))
  const usable = Math.min(images, source.count)
  const batches = Math.max(1, Math.floor(usable / reader.size))
  const order = permutation(randomKey(seed, 'sample'), source.count)
  return {
    batch: reader.size,
    batches,
    async *walk() {
      for (let index = 0; index < batches; index++) {
        await nextTurn()
        yield reader.read(order, index)
      }
    }
  }
}
