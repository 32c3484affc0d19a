/**
 * Shifts the image by up to the given fractions of its side, to any position between pixels.
 */
import { faultless, type Transform } from '../transform.ts'
import { shiftMatrix } from './shift.ts'

export const translate: Transform<'translate'> = {
  defaults: { x: 0, y: 0 },

  faults({ x, y }) {
    if (x !== undefined || y !== undefined) return faultless()
    return [{ pointer: '', detail: 'Cannot translate: neither x nor y says how far' }]
  },

  draw(random, { x, y }, size, drawn) {
    drawn[0] = random.between(-x, x) * size
    drawn[1] = random.between(-y, y) * size
  },

  matrix: shiftMatrix
}
