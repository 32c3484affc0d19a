import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lastReserveOf, reserveOf } from '../../../src/service/reserve.ts'

const MiB = 2 ** 20
const GiB = 1024 * MiB

test('reserveOf() keeps two per cent, within bounds that fit small and large disks', () => {
  assert.equal(reserveOf(40 * MiB), 10 * MiB)
  assert.equal(reserveOf(GiB), 64 * MiB)
  assert.equal(reserveOf(10 * GiB), Math.floor(0.2 * GiB))
  assert.equal(reserveOf(10_000 * GiB), GiB)
})

test('lastReserveOf() is what only the catalogue may take: a quarter of the reserve', () => {
  assert.equal(lastReserveOf(GiB), 16 * MiB)
})
