/** Permutes the axes of a dense row-major array: our weight layouts to ONNX's. */
import type { Shape } from '../network/graph.ts'

type Values = Float32Array | Int8Array

/**
 * A copy of `data` whose axis i is axis `permutation[i]` of the original.
 *
 * @throws RangeError when the permutation is not one of the axes, or the data do not fill the shape.
 */
export const transpose = <T extends Values>(
  data: T,
  shape: Shape,
  permutation: readonly number[]
): T => {
  const axes = [...permutation].sort((a, b) => a - b)
  if (permutation.length !== shape.length || axes.some((axis, i) => axis !== i)) {
    throw new RangeError(`Cannot transpose [${shape}]: not its axes, received [${permutation}]`)
  }
  const strides = rowMajorStrides(shape)
  const sides = permutation.map((axis) => shape[axis] as number)
  const steps = permutation.map((axis) => strides[axis] as number)
  if (data.length !== sides.reduce((product, side) => product * side, 1)) {
    throw new RangeError(`Cannot transpose [${shape}]: received ${data.length} values`)
  }
  const out = data.slice() as T
  const position = new Array<number>(sides.length).fill(0)
  let from = 0
  for (let to = 0; to < out.length; to++) {
    out[to] = data[from] as number
    // Counts `position` up by one, the last axis fastest, and keeps `from` in step with it.
    for (let axis = sides.length - 1; axis >= 0; axis--) {
      const step = steps[axis] as number
      const next = (position[axis] as number) + 1
      from += step
      if (next < (sides[axis] as number)) {
        position[axis] = next
        break
      }
      from -= step * next
      position[axis] = 0
    }
  }
  return out
}

const rowMajorStrides = (shape: Shape): readonly number[] => {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride
    stride *= shape[axis] as number
  }
  return strides
}
