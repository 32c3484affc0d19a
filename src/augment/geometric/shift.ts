/**
 * The matrix of a shift by (right, down) pixels, shared by the transforms that only move the image.
 */
export const shiftMatrix = ([right = 0, down = 0]: Float64Array, into: Float64Array): void => {
  into[0] = 1
  into[1] = 0
  into[2] = -right
  into[3] = 0
  into[4] = 1
  into[5] = -down
}
