/**
 * Zooms about the centre by a factor drawn log-uniformly, so that twice and half are equally likely.
 */
import { rangeFaults, type Transform } from '../transform.ts'

export const scale: Transform<'scale'> = {
  defaults: {},
  faults: ({ range }) => rangeFaults('/range', range),

  draw(random, { range: [low = 1, high = 1] }, _size, drawn) {
    drawn[0] = Math.exp(random.between(Math.log(low), Math.log(high)))
  },

  matrix([zoom = 1], into) {
    into[0] = 1 / zoom
    into[1] = 0
    into[2] = 0
    into[3] = 0
    into[4] = 1 / zoom
    into[5] = 0
  }
}
