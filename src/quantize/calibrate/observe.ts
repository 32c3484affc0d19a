/**
 * Runs calibration images through the float network and collects what its tensors hold.
 *
 * Two passes over the same images: the first finds the range of every tensor, the second counts into
 * 2,048 bins of that range. Memory is one batch of activations and one histogram a tensor.
 */
import type { ImageSource } from '../../image/source.ts'
import { count, emptyHistogram, extend, type Histogram } from './histogram.ts'

/** Runs `n` images (uint8 [n, h, w, c]) and returns tensors by node id, in any layout. */
export type RunFloat = (images: Uint8Array, n: number) => Promise<ReadonlyMap<string, Float32Array>>

export interface ObserveOptions {
  readonly runFloat: RunFloat
  readonly source: ImageSource
  /** Positions in the source. */
  readonly positions: ArrayLike<number>
  readonly tensors: readonly string[]
  readonly batchSize: number
}

/** The histogram of each tensor. @throws RangeError when a tensor is missing or not finite. */
export async function observe(options: ObserveOptions): Promise<ReadonlyMap<string, Histogram>> {
  const { tensors } = options
  const ranges = new Map(tensors.map((id) => [id, { low: 0, high: 0 }]))
  await eachBatch(options, (id, values) => {
    ranges.set(id, extend(ranges.get(id) ?? { low: 0, high: 0 }, values))
  })
  const histograms = new Map([...ranges].map(([id, range]) => [id, emptyHistogram(range)]))
  await eachBatch(options, (id, values) => {
    const histogram = histograms.get(id)
    if (histogram !== undefined) histograms.set(id, count(histogram, values))
  })
  return histograms
}

async function eachBatch(
  { runFloat, source, positions, tensors, batchSize }: ObserveOptions,
  visit: (id: string, values: Float32Array) => void
): Promise<void> {
  const stride = source.size * source.size * source.channels
  const images = new Uint8Array(batchSize * stride)
  for (let start = 0; start < positions.length; start += batchSize) {
    const batch = Array.prototype.slice.call(positions, start, start + batchSize) as number[]
    source.read(batch, images)
    const values = await runFloat(images, batch.length)
    for (const id of tensors) {
      const tensor = values.get(id)
      if (tensor === undefined) throw new RangeError(`Cannot calibrate: no values for ${id}`)
      visit(id, tensor)
    }
  }
}
