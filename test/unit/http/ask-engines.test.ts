import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, ServiceError } from '../../../src/errors.ts'
import { hasFailed, isOurs } from '../../../src/http/ask-engines.ts'
import type { Verdict } from '../../../src/infer/messages.ts'

const answered: Verdict = { classes: [0], scores: [1] }
const refused: Verdict = { code: 'IMAGE_TRUNCATED', detail: '' }
const crashed: Verdict = { code: 'ENGINE_CRASHED', detail: '' }
const known: Verdict = { ...crashed, isKnown: true }

test("hasFailed() lets bad images and known killers say nothing against the model's health", () => {
  assert.equal(hasFailed([answered]), false)
  assert.equal(hasFailed([{ all: new Float32Array(2) }, refused]), false)
  assert.equal(hasFailed([refused, refused]), null)
  assert.equal(hasFailed([known, refused]), null)
  assert.equal(hasFailed([known, answered]), false)
  assert.equal(hasFailed([answered, crashed]), true)
})

test("isOurs() leaves out a full line, places taken by others, the service's end and a caller's own deadline", () => {
  const cases: readonly (readonly [ErrorCode, number | undefined, true | null])[] = [
    ['MODEL_NOT_READY', undefined, true],
    ['DEADLINE_EXCEEDED', undefined, true],
    ['DEADLINE_EXCEEDED', 1, null],
    ['QUEUE_FULL', undefined, null],
    ['SHUTTING_DOWN', undefined, null]
  ]
  for (const [code, deadlineMs, expected] of cases) {
    const options = deadlineMs === undefined ? {} : { deadlineMs }
    assert.equal(isOurs(new ServiceError(code, { detail: '' }), options), expected, code)
  }
  const crowdedOut = new ServiceError('MODEL_NOT_READY', { detail: '', isCrowdedOut: true })
  assert.equal(isOurs(crowdedOut, {}), null)
  assert.equal(isOurs(new Error('too few verdicts'), { deadlineMs: 1 }), true)
})
