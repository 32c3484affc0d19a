import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quantile, summarize } from '../../../src/infer/summarize-times.ts'

test('quantile() interpolates between neighbours', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5)
  assert.equal(quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 0.9), 10)
  assert.equal(quantile([7], 0.9), 7)
})

test('summarize() takes median and 90th percentile over all rounds', () => {
  const { medianMs, p90Ms, runs, noisy } = summarize([
    [1, 2, 3],
    [1, 2, 13]
  ])
  assert.deepEqual(
    { medianMs, p90Ms, runs, noisy },
    { medianMs: 2, p90Ms: 8, runs: 6, noisy: false }
  )
})

test('summarize() calls halves that disagree by more than 15 % noisy', () => {
  assert.equal(summarize([[100], [100], [114], [114]]).noisy, false)
  assert.equal(summarize([[100], [100], [116], [116]]).noisy, true)
  assert.equal(summarize([[116], [116], [100], [100]]).noisy, true)
})

test('summarize() refuses an empty measurement', () => {
  assert.throws(() => summarize([[], []]), RangeError)
})

test('summarize() states times to a ten thousandth of a millisecond', () => {
  const { medianMs, p90Ms } = summarize([[0.07625400000000582, 0.0762560000001]])
  assert.deepEqual({ medianMs, p90Ms }, { medianMs: 0.0763, p90Ms: 0.0763 })
  assert.equal(summarize([[0.00001]]).medianMs, 0.0001)
})
