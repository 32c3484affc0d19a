/**
 * Which pixels a prediction rests on, found by covering them up.
 *
 * Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
 * arXiv:1311.2901. A patch slides over the image, and at each place the probability of the label is asked:
 *
 *   drop(place) = p(label | image) - p(label | image with the patch there)
 *
 * A pixel's value is the mean drop over the patches that cover it. Needs no gradients, so it works on any
 * model that can be run. Departs from the paper: the patch has the mean colour of the image and not grey,
 * which would be a bright thing on a black background; patches overlap by half.
 */
import type { HeatMap } from '../contract/explanation.ts'

/** Of the side, as in the paper (50 of 224 pixels, about). */
const patchShare = 1 / 5
/** Images of one run. */
const batchSize = 16

export interface OcclusionOptions {
  /** Probabilities [n, classes] of n images, one after the other. */
  readonly ask: (images: Uint8Array, n: number) => Promise<Float32Array>
  /** uint8 [size, size, channels]. */
  readonly pixels: Uint8Array
  readonly size: number
  readonly channels: number
  /** Class index; null for the predicted one. */
  readonly label: number | null
}

export interface Occlusion {
  readonly label: number
  /** Of the label on the whole image. */
  readonly score: number
  /** Mean drop of each pixel, [size][size]. */
  readonly drops: HeatMap
}

export async function occlusion(options: OcclusionOptions): Promise<Occlusion> {
  const { ask, pixels, size, label: wanted } = options
  const whole = await ask(pixels, 1)
  const label = wanted ?? whole.indexOf(Math.max(...whole))
  const score = whole[label] ?? 0
  const patch = Math.max(1, Math.round(size * patchShare))
  const starts = patchStarts(size, patch)
  const places = starts.flatMap((y) => starts.map((x) => [y, x] as const))
  const sums = new Float64Array(size * size)
  const counts = new Uint32Array(size * size)
  const colour = meanColour(options)
  for (let first = 0; first < places.length; first += batchSize) {
    const batch = places.slice(first, first + batchSize)
    const images = new Uint8Array(batch.length * pixels.length)
    for (const [i, place] of batch.entries()) {
      images.set(pixels, i * pixels.length)
      const image = images.subarray(i * pixels.length, (i + 1) * pixels.length)
      for (const at of covered(place, patch, size)) image.set(colour, at * colour.length)
    }
    const scores = await ask(images, batch.length)
    const classes = scores.length / batch.length
    for (const [i, place] of batch.entries()) {
      const drop = score - (scores[i * classes + label] ?? 0)
      for (const at of covered(place, patch, size)) {
        sums[at] = (sums[at] ?? 0) + drop
        counts[at] = (counts[at] ?? 0) + 1
      }
    }
  }
  const mean = (at: number): number => (sums[at] ?? 0) / (counts[at] ?? 1)
  const row = (y: number) => Array.from({ length: size }, (_, x) => mean(y * size + x))
  return { label, score, drops: Array.from({ length: size }, (_, y) => row(y)) }
}

/** First pixels of the patches along a side: half a patch apart, the last one at the edge. */
export function patchStarts(size: number, patch: number): number[] {
  const stride = Math.max(1, Math.floor(patch / 2))
  const last = size - patch
  const starts: number[] = []
  for (let at = 0; at < last; at += stride) starts.push(at)
  return [...starts, last]
}

/** Pixels under the patch at [y, x], by their place in the image. */
function* covered(
  [y, x]: readonly [y: number, x: number],
  patch: number,
  size: number
): Generator<number> {
  for (let row = y; row < y + patch; row++) {
    for (let column = x; column < x + patch; column++) yield row * size + column
  }
}

function meanColour({ pixels, channels }: OcclusionOptions): Uint8Array {
  const sums = new Float64Array(channels)
  for (const [i, value] of pixels.entries()) sums[i % channels] = (sums[i % channels] ?? 0) + value
  return Uint8Array.from(sums, (sum) => Math.round((sum * channels) / pixels.length))
}
