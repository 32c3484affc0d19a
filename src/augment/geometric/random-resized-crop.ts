/**
 * Random resized crop, also known as inception crop.
 *
 * Szegedy et al., "Going Deeper with Convolutions", 2014. arXiv:1409.4842, section 6.
 *
 *   area ~ U(scale)      ratio ~ logU(ratio), narrowed to [area, 1/area] so that both sides fit
 *   w = sqrt(area * ratio)      h = sqrt(area / ratio)      (fractions of the side)
 *
 * Departs from the usual form: that draws again up to ten times when a side does not fit; narrowing the
 * range first keeps the area as drawn and takes one draw.
 */
import { rangeFaults, type Transform } from '../transform.ts'

export const randomResizedCrop: Transform<'randomResizedCrop'> = {
  defaults: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },

  faults: ({ scale, ratio }) => [...rangeFaults('/scale', scale), ...rangeFaults('/ratio', ratio)],

  draw(random, { scale: [small = 1, large = 1], ratio: [low = 1, high = 1] }, size, drawn) {
    const area = random.between(small, large)
    const narrowest = Math.log(clamp(low, area, 1 / area))
    const widest = Math.log(clamp(high, area, 1 / area))
    const ratio = Math.exp(random.between(narrowest, widest))
    // A ratio at the end of its range may overshoot 1 by a rounding error.
    const width = Math.min(1, Math.sqrt(area * ratio))
    const height = Math.min(1, Math.sqrt(area / ratio))
    drawn[0] = width
    drawn[1] = height
    drawn[2] = random.between(-0.5, 0.5) * (1 - width) * size
    drawn[3] = random.between(-0.5, 0.5) * (1 - height) * size
  },

  matrix([width = 1, height = 1, right = 0, down = 0], into) {
    into[0] = width
    into[1] = 0
    into[2] = right
    into[3] = 0
    into[4] = height
    into[5] = down
  }
}

const clamp = (value: number, low: number, high: number): number =>
  Math.min(high, Math.max(low, value))
