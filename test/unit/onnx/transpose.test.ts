/** Axis permutation against index arithmetic. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { transpose } from '../../../src/onnx/transpose.ts'

const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 })
const cases = shapes.chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    permutation: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length })
  })
)

test('every value lands where its permuted index says', () => {
  fc.assert(
    fc.property(cases, ({ shape, permutation }) => {
      const size = shape.reduce((product, side) => product * side, 1)
      const data = Float32Array.from({ length: size }, (_, i) => i)
      const result = transpose(data, shape, permutation)
      const sides = permutation.map((axis) => shape[axis] as number)
      for (let i = 0; i < size; i++) {
        const index = unravel(i, shape)
        const moved = permutation.map((axis) => index[axis] as number)
        assert.equal(result[ravel(moved, sides)], i)
      }
    })
  )
})

test('integers stay integers', () => {
  const result = transpose(Int8Array.of(1, -2, 3, -4, 5, -6), [2, 3], [1, 0])
  assert.deepEqual(result, Int8Array.of(1, -4, -2, 5, 3, -6))
})

test('what is no permutation, or does not fill the shape, is refused', () => {
  assert.throws(() => transpose(new Float32Array(6), [2, 3], [0, 0]), /received \[0,0\]/)
  assert.throws(() => transpose(new Float32Array(6), [2, 3], [0]), RangeError)
  assert.throws(() => transpose(new Float32Array(5), [2, 3], [1, 0]), /received 5 values/)
})

const unravel = (i: number, shape: readonly number[]): number[] => {
  let rest = i
  return shape
    .toReversed()
    .map((side) => {
      const at = rest % side
      rest = Math.floor(rest / side)
      return at
    })
    .reverse()
}

const ravel = (index: readonly number[], shape: readonly number[]): number =>
  index.reduce((sum, at, axis) => sum * (shape[axis] as number) + at, 0)
