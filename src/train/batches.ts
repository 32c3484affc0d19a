/**
 * Cuts a source into batches of one size, because a compiled step has static shapes.
 *
 * The last batch is filled up with images from the beginning of the order at weight zero: real images,
 * so that batch statistics stay those of the data, but without a say in loss, accuracy or gradient.
 */
import type { ImageSource } from '../image/source.ts'

export interface Batch {
  /** Positions in the source, `size` of them. */
  readonly positions: Uint32Array
  /** How many of them count: all but the filling. */
  readonly images: number
  /** uint8 [size, side, side, channels]; the same buffer for every batch. */
  readonly pixels: Uint8Array
  /** int32 [size]. */
  readonly labels: Int32Array
  /** [size], sum one: 1 / images where it counts, else 0. */
  readonly weights: Float32Array
}

export interface BatchReader {
  /** Images in a batch: at most what was asked for, and what the source has. */
  readonly size: number
  readonly count: number
  /** The index-th batch of the order. What it holds is valid until the next call. */
  read(order: ArrayLike<number>, index: number): Batch
}

/** @throws RangeError when the source is empty. */
export const batchReader = (source: ImageSource, batchSize: number): BatchReader => {
  if (source.count === 0) {
    throw new RangeError('Cannot read batches: the source holds no image')
  }
  const size = Math.min(batchSize, source.count)
  const pixels = new Uint8Array(size * source.size ** 2 * source.channels)
  const positions = new Uint32Array(size)
  const labels = new Int32Array(size)
  const weights = new Float32Array(size)
  return {
    size,
    count: Math.ceil(source.count / size),
    read(order, index) {
      const first = index * size
      const images = Math.min(size, order.length - first)
      for (let i = 0; i < size; i++) {
        const position = order[(first + i) % order.length] as number
        positions[i] = position
        labels[i] = source.labels[position] as number
        weights[i] = i < images ? 1 / images : 0
      }
      source.read(positions, pixels)
      return { positions, images, pixels, labels, weights }
    }
  }
}

/** Positions 0, 1, 2, ... of a source. */
export const inOrder = (count: number): Uint32Array =>
  Uint32Array.from({ length: count }, (_, i) => i)
