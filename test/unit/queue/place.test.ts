import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { jobPriorities } from '../../../src/contract/job.ts'
import { type Place, queueNumber } from '../../../src/queue/place.ts'

const places = fc.record({
  priority: fc.constantFrom(...jobPriorities),
  turn: fc.nat({ max: 300_000 }),
  begun: fc.boolean()
})
const order = ({ priority, turn, begun }: Place) => [
  -jobPriorities.indexOf(priority),
  turn,
  begun ? 0 : 1
]

test('queueNumber() orders by priority, then turn, then what has begun', () => {
  fc.assert(
    fc.property(places, places, (a, b) => {
      const [left, right] = [order(a), order(b)]
      const differs = left.findIndex((value, i) => value !== right[i])
      const expected = differs < 0 ? 0 : Math.sign((left[differs] ?? 0) - (right[differs] ?? 0))
      assert.equal(Math.sign(queueNumber(a) - queueNumber(b)), expected)
    })
  )
})

test('queueNumber() stays within what BullMQ accepts, and within its priority, for ever', () => {
  const numbers = (['high', 'normal', 'low'] as const).flatMap((priority) =>
    [0, 1e9].map((turn) => queueNumber({ priority, turn, begun: turn === 0 }))
  )
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b)
  )
  assert.equal(new Set(numbers).size, numbers.length)
  assert.equal(numbers[0], 1)
  assert.ok((numbers.at(-1) ?? 0) < 2 ** 21)
})
