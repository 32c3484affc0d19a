import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasEnded, type JobMove, nextState } from '../../../src/catalog/job-state.ts'
import { jobStates } from '../../../src/contract/job.ts'
import { ServiceError } from '../../../src/errors.ts'

const moves: readonly JobMove[] = ['claim', 'requeue', 'complete', 'fail', 'cancel']

test('nextState() allows exactly the moves of a job that lives', () => {
  const allowed = jobStates.flatMap((state) =>
    moves.flatMap((move) => {
      try {
        return [`${state} ${move} ${nextState(state, move)}`]
      } catch {
        return []
      }
    })
  )
  assert.deepEqual(allowed, [
    'queued claim running',
    'queued fail failed',
    'queued cancel cancelled',
    'running claim running',
    'running requeue queued',
    'running complete completed',
    'running fail failed',
    'running cancel cancelled'
  ])
})

test('nextState() says JOB_ENDED once a job has ended, and names other misuse a bug', () => {
  for (const state of jobStates.filter(hasEnded)) {
    for (const move of moves) {
      assert.throws(
        () => nextState(state, move),
        (error) => error instanceof ServiceError && error.code === 'JOB_ENDED'
      )
    }
  }
  assert.throws(() => nextState('queued', 'complete'), RangeError)
  assert.deepEqual(jobStates.filter(hasEnded), ['completed', 'failed', 'cancelled'])
})
