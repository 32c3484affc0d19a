/**
 * Turns the image about its centre by an angle from U(-degrees, degrees), positive counter-clockwise.
 */
import { faultless, type Transform } from '../transform.ts'

export const rotate: Transform<'rotate'> = {
  defaults: {},
  faults: faultless,

  draw(random, { degrees }, _size, drawn) {
    drawn[0] = (random.between(-degrees, degrees) * Math.PI) / 180
  },

  // Output to input is the inverse turn; y points down.
  matrix([angle = 0], into) {
    const cosine = Math.cos(angle)
    const sine = Math.sin(angle)
    into[0] = cosine
    into[1] = -sine
    into[2] = 0
    into[3] = sine
    into[4] = cosine
    into[5] = 0
  }
}
