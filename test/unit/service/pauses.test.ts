import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pauses } from '../../../src/service/pauses.ts'

test('Pauses.begin() doubles the pause up to five minutes, for each id on its own', () => {
  const pauses = new Pauses()
  const lengths = Array.from({ length: 7 }, () => pauses.begin('a', 0) / 1000)
  assert.deepEqual(lengths, [15, 30, 60, 120, 240, 300, 300])
  assert.equal(pauses.begin('b', 0), 15_000)
  pauses.forget('a')
  assert.equal(pauses.begin('a', 0), 15_000)
})

test('Pauses.isOn() holds until the pause is over', () => {
  const pauses = new Pauses()
  assert.equal(pauses.isOn('a', 0), false)
  pauses.begin('a', 1000)
  assert.deepEqual([pauses.isOn('a', 15_999), pauses.isOn('a', 16_000)], [true, false])
})

test('Pauses.current() and nextEnd() tell of those that are on', () => {
  const pauses = new Pauses()
  assert.deepEqual([pauses.current(0), pauses.nextEnd(0)], [[], Number.POSITIVE_INFINITY])
  pauses.begin('a', 0)
  pauses.begin('b', 1000)
  assert.deepEqual([pauses.current(1000), pauses.nextEnd(1000)], [['a', 'b'], 15_000])
  assert.deepEqual([pauses.current(15_000), pauses.nextEnd(15_000)], [['b'], 16_000])
})
