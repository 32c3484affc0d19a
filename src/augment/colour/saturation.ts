/**
 * Moves every pixel towards or away from its grey by a factor from U(1 - amount, 1 + amount).
 *
 * Grey is luma by ITU-R BT.601, the weights that JPEG and Pillow use. Needs three channels.
 */
import { faultless, type Transform } from '../transform.ts'
import { drawFactor } from './factor.ts'

const luma = [0.299, 0.587, 0.114] as const

export const saturation: Transform<'saturation'> = {
  defaults: {},
  faults: faultless,
  draw: drawFactor,

  matrix([factor = 1], into) {
    for (let row = 0; row < 3; row++) {
      for (let column = 0; column < 3; column++) {
        const grey = luma[column] as number
        into[row * 4 + column] = (1 - factor) * grey + (row === column ? factor : 0)
      }
      into[row * 4 + 3] = 0
    }
  }
}
