import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission } from '../../../src/infer/admission.ts'

const never = () => false

test('Admission takes first come, first served', () => {
  const line = new Admission<number>({ places: 4 })
  line.admit([1, 2], 0)
  line.admit([3], 0)
  assert.deepEqual(line.take(2, never), [1, 2])
  line.putBack([2])
  assert.deepEqual(line.take(9, never), [2, 3])
  assert.deepEqual(line.take(9, never), [])
})

test('Admission refuses a whole group, with the time that the line will take', () => {
  const line = new Admission<number>({ places: 4 })
  line.admit([1, 2, 3], 0)
  assert.throws(() => line.admit([4, 5], 0.5), { code: 'QUEUE_FULL', retryAfter: 6 })
  assert.throws(() => line.admit([4, 5], 1000), { code: 'QUEUE_FULL', retryAfter: 1 })
  assert.throws(() => line.admit([4, 5], 0.001), { code: 'QUEUE_FULL', retryAfter: 30 })
  assert.equal(line.waiting, 3)
  line.leave(2)
  line.leave(2)
  line.admit([4, 5], 1)
  assert.deepEqual(line.take(9, never), [1, 3, 4, 5])
})

test('Admission lets a group larger than the line in when nobody waits', () => {
  const line = new Admission<number>({ places: 2 })
  line.admit([1, 2, 3], 0)
  assert.throws(() => line.admit([4], 1), { code: 'QUEUE_FULL' })
})

test('Admission hands out entries that want to be alone by themselves', () => {
  const line = new Admission<number>({ places: 9 })
  line.admit([1, 2, 30, 4], 0)
  const alone = (entry: number) => entry >= 30
  assert.deepEqual(line.take(9, alone), [1, 2])
  assert.deepEqual(line.take(9, alone), [30])
  assert.deepEqual(line.take(9, alone), [4])
})
