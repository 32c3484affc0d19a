import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteBudget } from '../../../src/http/byte-budget.ts'

test('ByteBudget refuses what would exceed the sum, and takes it after a release', () => {
  const budget = new ByteBudget(100)
  const [one, other] = [budget.open(), budget.open()]
  one.take(40)
  one.take(20)
  assert.throws(() => other.take(41), { code: 'QUEUE_FULL', retryAfter: 1 })
  other.take(40)
  assert.equal(budget.taken, 100)
  one.release()
  one.release()
  one.take(5)
  assert.equal(budget.taken, 40)
  other.take(60)
})
