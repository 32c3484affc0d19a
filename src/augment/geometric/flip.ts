/**
 * Mirrors the image with a given probability. Never on unless asked for: a mirrored 2 is no 2.
 */
import { faultless, type Transform } from '../transform.ts'

export const flip: Transform<'flip'> = {
  defaults: { axis: 'horizontal', probability: 0.5 },
  faults: faultless,

  draw(random, { axis, probability }, _size, drawn) {
    const sign = random.uniform() < probability ? -1 : 1
    drawn[0] = axis === 'horizontal' ? sign : 1
    drawn[1] = axis === 'vertical' ? sign : 1
  },

  matrix([x = 1, y = 1], into) {
    into[0] = x
    into[1] = 0
    into[2] = 0
    into[3] = 0
    into[4] = y
    into[5] = 0
  }
}
