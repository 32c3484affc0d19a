/**
 * Multiplies every value by a factor from U(1 - amount, 1 + amount).
 */
import { faultless, type Transform } from '../transform.ts'
import { drawFactor } from './factor.ts'

export const brightness: Transform<'brightness'> = {
  defaults: {},
  faults: faultless,
  draw: drawFactor,

  matrix([factor = 1], into) {
    into.fill(0)
    into[0] = factor
    into[5] = factor
    into[10] = factor
  }
}
