import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BatchRun, distinctRuns } from '../../../src/infer/batch-run.ts'

const run = (since: number): BatchRun => ({
  since,
  until: since + 1,
  size: 2,
  times: { inputMs: 0, inferMs: 0, outputMs: 0 },
  askers: []
})

test('distinctRuns() lists each run once, by its start, with the longest wait', () => {
  const [early, late] = [run(10), run(20)]
  const answered = [
    { since: 7, run: late },
    { since: 5, run: early },
    { since: 0 },
    { since: 6, run: late }
  ]
  assert.deepEqual(distinctRuns(answered), [
    { run: early, waitedSince: 5 },
    { run: late, waitedSince: 6 }
  ])
  assert.deepEqual(distinctRuns([]), [])
})
