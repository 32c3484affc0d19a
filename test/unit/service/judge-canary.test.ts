import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Rollback, TargetFigures } from '../../../src/contract/rollback.ts'
import { judgeCanary } from '../../../src/service/judge-canary.ts'

const rollback: Rollback = {
  to: 0,
  maxErrorRate: 0.02,
  maxLatencyRatio: 1.5,
  minRequests: 100,
  windowSeconds: 300
}

const figures = (requests: number, failed: number, medianMs: number | null): TargetFigures => ({
  version: 1,
  variant: 'int8',
  requests,
  failed,
  errorRate: requests === 0 ? 0 : failed / requests,
  medianMs
})

const reason = (
  canary: TargetFigures,
  stable: TargetFigures | null,
  changes: Partial<Rollback> = {}
) => judgeCanary(canary, stable, { ...rollback, ...changes })?.reason ?? null

test('judgeCanary() finds errors beyond the bound, from the least number of requests on', () => {
  const stable = figures(1000, 0, 1)
  assert.equal(reason(figures(100, 2, 1), stable), null)
  assert.equal(reason(figures(100, 3, 1), stable), 'errors')
  assert.equal(reason(figures(99, 99, null), stable), null)
  assert.equal(reason(figures(100, 100, null), stable), 'errors')
  assert.equal(reason(figures(100, 100, null), stable, { maxErrorRate: null }), null)
  assert.equal(reason(figures(100, 100, null), null), 'errors')
  assert.equal(reason(figures(100, 1, 1), stable, { maxErrorRate: 0 }), 'errors')
})

test('judgeCanary() does not blame the canary for what strikes the stable target as well', () => {
  assert.equal(reason(figures(200, 100, 1), figures(2000, 1000, 1)), null)
  assert.equal(reason(figures(200, 101, 1), figures(2000, 1000, 1)), 'errors')
})

test('judgeCanary() compares times once both have answered enough', () => {
  const stable = figures(1000, 0, 2)
  assert.equal(reason(figures(100, 0, 3), stable), null)
  assert.equal(reason(figures(100, 0, 3.01), stable), 'latency')
  assert.equal(reason(figures(100, 1, 9), stable), null)
  assert.equal(reason(figures(100, 0, 9), figures(100, 1, 2)), null)
  assert.equal(reason(figures(100, 0, 9), null), null)
  assert.equal(reason(figures(100, 0, 9), stable, { maxLatencyRatio: null }), null)
})

test('judgeCanary() tells the figures that it decided on', () => {
  const errors = judgeCanary(figures(100, 3, 1), figures(50, 1, 1), rollback)
  assert.equal(
    errors?.detail,
    "3 of 100 requests failed, 3.0 %; at most 2.0 % may, and of the stable target's 2.0 % did"
  )
  const latency = judgeCanary(figures(100, 0, 6), figures(100, 0, 2), rollback)
  assert.equal(
    latency?.detail,
    'an answer took 6 ms in the median, 3.00 times the 2 ms of the stable target; at most 1.5 times is allowed'
  )
})
