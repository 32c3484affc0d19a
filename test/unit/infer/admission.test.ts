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

interface Owned {
  readonly caller: string
  readonly n: number
}
const owned = (caller: string, ...numbers: number[]): Owned[] => numbers.map((n) => ({ caller, n }))
const shared = (places: number) => new Admission<Owned>({ places, caller: ({ caller }) => caller })
const names = (entries: readonly Owned[]) =>
  entries.map(({ caller, n }) => `${caller}${n}`).join(' ')

test('Admission lets callers take turns, and keeps the order of each', () => {
  const line = shared(20)
  line.admit(owned('a', 1, 2, 3, 4), 0)
  line.admit(owned('b', 1, 2), 0)
  assert.equal(names(line.take(3, never)), 'a1 b1 a2')
  line.admit(owned('c', 1), 0)
  assert.equal(names(line.take(9, never)), 'b2 a3 c1 a4')
})

test('Admission refuses a caller beyond its share, and always has room for another', () => {
  const line = shared(4)
  line.admit(owned('a', 1, 2, 3, 4), 0)
  assert.throws(
    () => line.admit(owned('a', 5), 0),
    /at most 4 images may wait, 4 do, received 1 more/
  )
  line.admit(owned('b', 1, 2), 0)
  assert.throws(() => line.admit(owned('b', 3), 0), {
    code: 'QUEUE_FULL',
    message: /2 of 4 places are the share of one caller while 1 others wait, 2 do, received 1 more/
  })
  assert.equal(line.waiting, 6)
  line.take(9, never)
  line.admit(owned('b', 3, 4, 5), 0)
  line.admit(owned('b', 6), 0)
})

test('Admission gives a caller no credit for having been away', () => {
  const line = shared(100)
  for (let n = 1; n <= 50; n += 1) {
    line.admit(owned('a', n), 0)
    line.take(1, never)
  }
  line.admit(owned('a', 51, 52), 0)
  line.admit(owned('b', 1, 2, 3), 0)
  assert.equal(names(line.take(9, never)), 'a51 b1 a52 b2 b3')
})

test('Admission puts rank before turns, and what is put back before everything', () => {
  const line = new Admission<Owned>({
    places: 9,
    rank: ({ n }) => (n >= 10 ? 1 : 2),
    caller: ({ caller }) => caller
  })
  line.admit(owned('a', 1, 2), 0)
  const [first] = line.take(1, never)
  line.admit(owned('b', 10), 0)
  line.putBack(first ? [first] : [])
  assert.equal(names(line.take(9, never)), 'a1 b10 a2')
})
