import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OutcomeWindow } from '../../../src/service/outcome-window.ts'

test('OutcomeWindow forgets what is older than the window', () => {
  let now = 0
  const window = new OutcomeWindow(12_000, () => now)
  assert.deepEqual(window.figures, { requests: 0, failed: 0, medianMs: null })
  window.add({ failed: true, ms: 5 })
  now = 6000
  window.add({ failed: false, ms: 5 })
  now = 11_999
  assert.equal(window.figures.requests, 2)
  now = 12_000
  assert.deepEqual([window.figures.requests, window.figures.failed], [1, 0])
  window.add({ failed: false, ms: 5 })
  assert.equal(window.figures.requests, 2)
  now = 1_000_000
  assert.deepEqual(window.figures, { requests: 0, failed: 0, medianMs: null })
})

test('OutcomeWindow tells the median of what was answered to a twentieth', () => {
  for (const ms of [0.3, 1, 7.7, 123, 5000]) {
    const window = new OutcomeWindow(10_000, () => 0)
    for (const factor of [0.5, 0.9, 1, 1.3, 20]) window.add({ failed: false, ms: ms * factor })
    for (let i = 0; i < 50; i += 1) window.add({ failed: true, ms: 30_000 })
    const { requests, failed, medianMs } = window.figures
    assert.deepEqual([requests, failed], [55, 50])
    assert.ok(Math.abs((medianMs ?? 0) / ms - 1) < 0.05, `${medianMs} for ${ms}`)
  }
})

test('OutcomeWindow takes times of any size', () => {
  const window = new OutcomeWindow(10_000, () => 0)
  for (const ms of [0, -1, 1e-9, 1e12]) window.add({ failed: false, ms })
  assert.equal(window.figures.requests, 4)
  assert.ok((window.figures.medianMs ?? 0) > 0)
})
