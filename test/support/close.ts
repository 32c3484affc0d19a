import assert from 'node:assert/strict'

/** Fails unless |actual - expected| <= tolerance * (1 + |expected|) everywhere. */
export const assertClose = (
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = 'values'
): void => {
  assert.equal(actual.length, expected.length, `${what}: lengths differ`)
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number]
    const isClose = Math.abs(a - e) <= tolerance * (1 + Math.abs(e))
    assert.ok(isClose, `${what}: element ${i} is ${a}, expected ${e} within ${tolerance}`)
  }
}
