/**
 * A small reference of ImageProjectiveTransformV3: bilinear, fill mode reflect, one channel, plain loops.
 * Augmentation matrices are judged by what it makes of an image.
 */
export const warp = (
  image: ArrayLike<number>,
  size: number,
  matrix: ArrayLike<number>,
  outputSize = size
): number[] => {
  const out: number[] = []
  const m = (i: number) => matrix[i] as number
  for (let y = 0; y < outputSize; y++) {
    for (let x = 0; x < outputSize; x++) {
      const k = m(6) * x + m(7) * y + 1
      out.push(
        sample(image, size, (m(0) * x + m(1) * y + m(2)) / k, (m(3) * x + m(4) * y + m(5)) / k)
      )
    }
  }
  return out
}

const sample = (image: ArrayLike<number>, size: number, x: number, y: number): number => {
  const left = Math.floor(x)
  const top = Math.floor(y)
  const at = (column: number, row: number) =>
    image[reflect(row, size) * size + reflect(column, size)] as number
  const upper = at(left, top) * (left + 1 - x) + at(left + 1, top) * (x - left)
  const lower = at(left, top + 1) * (left + 1 - x) + at(left + 1, top + 1) * (x - left)
  return upper * (top + 1 - y) + lower * (y - top)
}

/** d c b a | a b c d | d c b a */
const reflect = (index: number, size: number): number => {
  const folded = ((index % (2 * size)) + 2 * size) % (2 * size)
  return folded < size ? folded : 2 * size - 1 - folded
}
