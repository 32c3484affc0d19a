/**
 * Random crop after padding: a shift by whole pixels, each of -padding..padding equally likely.
 *
 * He et al., "Deep Residual Learning for Image Recognition", 2015. arXiv:1512.03385, section 4.2.
 *
 * Departs from the paper: what comes into view is filled as in every other transform, not with zeros.
 */
import { faultless, type Transform } from '../transform.ts'
import { shiftMatrix } from './shift.ts'

export const randomCrop: Transform<'randomCrop'> = {
  defaults: {},
  faults: faultless,

  draw(random, { padding }, _size, drawn) {
    drawn[0] = Math.floor(random.uniform() * (2 * padding + 1)) - padding
    drawn[1] = Math.floor(random.uniform() * (2 * padding + 1)) - padding
  },

  matrix: shiftMatrix
}
