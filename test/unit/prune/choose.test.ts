import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseWidths, floorOf } from '../../../src/prune/choose.ts'

const equal = (n: number) => ({ scores: new Float64Array(n).fill(1 / n), width: n })
/** A chain of layers: every pair of neighbours multiplies. */
const chain = (widths: readonly number[]) =>
  widths.slice(1).reduce((sum, width, i) => sum + width * (widths[i] as number), 0)

test('floorOf() is a tenth of the width or one block, in whole blocks', () => {
  assert.equal(floorOf(64, 16), 16)
  assert.equal(floorOf(512, 16), 64)
  assert.equal(floorOf(16, 16), 16)
  assert.equal(floorOf(8, 16), 8)
  assert.equal(floorOf(24, 16), 16)
  assert.equal(floorOf(100, 1), 10)
})

test('chooseWidths() leaves everything when the target is met already', () => {
  const choice = chooseWidths([equal(8), equal(8)], { target: 64, roundTo: 1, macsAt: chain })
  assert.deepEqual(choice, { widths: [8, 8], macs: 64 })
})

test('chooseWidths() takes the channels that matter least, by hand', () => {
  // Half of the second group carries nothing: it costs no damage to remove it.
  const useless = { scores: Float64Array.from([0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0]), width: 8 }
  const choice = chooseWidths([equal(8), useless], { target: 32, roundTo: 1, macsAt: chain })
  assert.deepEqual(choice, { widths: [8, 4], macs: 32 })
})

test('chooseWidths() never touches a group without scores', () => {
  const groups = [{ scores: null, width: 8 }, equal(8)]
  const choice = chooseWidths(groups, { target: 0, roundTo: 4, macsAt: chain })
  assert.deepEqual(choice, { widths: [8, 4], macs: 32 })
})

test('chooseWidths() does not go further than the target asks when a smaller step does', () => {
  const macsAt = ([a = 0, b = 0]: readonly number[]) => 100 * a + b
  const choice = chooseWidths([equal(32), equal(128)], { target: 3320, roundTo: 16, macsAt })
  assert.deepEqual(choice.widths, [32, 112])
})

test('chooseWidths() ends at the floors when they do not allow the target', () => {
  const choice = chooseWidths([equal(64), equal(48)], { target: 1, roundTo: 16, macsAt: chain })
  assert.deepEqual(choice, { widths: [16, 16], macs: 256 })
})

test('chooseWidths() keeps multiples and floors, meets targets within reach, and keeps the best', () => {
  const group = fc
    .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 4, maxLength: 70 })
    .map((scores) => ({ scores: Float64Array.from(scores), width: scores.length }))
  fc.assert(
    fc.property(
      fc.array(group, { minLength: 2, maxLength: 6 }),
      fc.constantFrom(1, 4, 8, 16),
      fc.double({ min: 0.05, max: 1, noNaN: true }),
      (groups, roundTo, share) => {
        const before = chain(groups.map(({ width }) => width))
        const target = before * share
        const { widths, macs } = chooseWidths(groups, { target, roundTo, macsAt: chain })
        assert.equal(macs, chain(widths))
        const floors = groups.map(({ width }) => floorOf(width, roundTo))
        for (const [i, { width }] of groups.entries()) {
          const kept = widths[i] as number
          assert.ok(kept === width || kept % roundTo === 0)
          assert.ok(kept >= (floors[i] as number) && kept <= width)
        }
        // Groups that only lose all importance in their next block stay; with positive scores none does.
        const isReachable = groups.every(({ scores }) => scores.every((score) => score > 0))
        if (isReachable && chain(floors) <= target) assert.ok(macs <= target)
      }
    )
  )
})
