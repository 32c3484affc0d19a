import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CheckpointPace } from '../../../src/worker/checkpoint-pace.ts'

const within = { epochEnded: false }
const atEnd = { epochEnded: true }

/** A pace whose clock stands at what `at` sets. */
function paced() {
  let now = 1000
  const pace = new CheckpointPace(() => now)
  return {
    pace,
    at(seconds: number): void {
      now = 1000 + seconds
    }
  }
}

test('the first is due after an epoch, or after ten seconds of one', () => {
  const { pace, at } = paced()
  assert.equal(pace.isDue(within), false)
  assert.equal(pace.isDue(atEnd), true)
  at(9.9)
  assert.equal(pace.isDue(within), false)
  at(10)
  assert.equal(pace.isDue(within), true)
})

test('writing and sending take one part in twenty of the time', () => {
  const { pace, at } = paced()
  pace.written('a', 0.5)
  pace.kept('a', 1)
  at(29.9)
  assert.equal(pace.isDue(atEnd), false)
  at(30.1)
  assert.equal(pace.isDue(within), true)
  pace.written('b', 0.5)
  at(31)
  pace.kept('b', 0)
  assert.equal(pace.isDue(within), false)
  at(30.1 + 10)
  assert.equal(pace.isDue(within), true)
})

test('none is due while one is being sent, but for ten minutes at most', () => {
  const { pace, at } = paced()
  pace.written('a', 0.5)
  at(599)
  assert.equal(pace.isDue(atEnd), false)
  pace.kept('other', 0)
  assert.equal(pace.isDue(atEnd), false)
  at(600)
  assert.equal(pace.isDue(within), true)
})

test('however much one costs, ten minutes are never exceeded', () => {
  const { pace, at } = paced()
  pace.written('a', 60)
  pace.kept('a', 600)
  at(599)
  assert.equal(pace.isDue(atEnd), false)
  at(600)
  assert.equal(pace.isDue(within), true)
})
