/**
 * Stretches or squeezes values about mid-grey by a factor from U(1 - amount, 1 + amount).
 *
 * About mid-grey (127.5), not about the image's own mean as in torchvision: the mean would need a pass
 * over the pixels, and the matrix is made before the pixels are read.
 */
import { faultless, type Transform } from '../transform.ts'
import { drawFactor } from './factor.ts'

const MID_GREY = 127.5

export const contrast: Transform<'contrast'> = {
  defaults: {},
  faults: faultless,
  draw: drawFactor,

  matrix([factor = 1], into) {
    const offset = MID_GREY * (1 - factor)
    into.fill(0)
    into[0] = factor
    into[3] = offset
    into[5] = factor
    into[7] = offset
    into[10] = factor
    into[11] = offset
  }
}
