import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiRefusal } from '../../../src/worker/api-call.ts'
import { type Ending, insteadOf, outcomeOf, troubleOf } from '../../../src/worker/outcome.ts'

const ending = (changes: Partial<Ending>): Ending => ({
  end: { exitCode: 0, signal: null },
  farewell: undefined,
  ordered: undefined,
  progressed: false,
  output: '',
  killsBefore: new Map(),
  killsAfter: new Map(),
  peak: undefined,
  ...changes
})

const failed = (code: string) => ({ type: 'failed', code, detail: 'Cannot go on' }) as const
const segfault = { exitCode: null, signal: 'SIGSEGV' } as const

test('outcomeOf() passes on why a job cannot be done, but puts it off when the disk is full', () => {
  assert.deepEqual(outcomeOf(ending({ farewell: failed('TRAINING_DIVERGED') })), {
    kind: 'failed',
    code: 'TRAINING_DIVERGED',
    detail: 'Cannot go on'
  })
  assert.deepEqual(outcomeOf(ending({ farewell: failed('DISK_FULL') })), {
    kind: 'postponed',
    detail: 'Cannot go on'
  })
})

test('outcomeOf() never calls a full disk a crash', () => {
  const end = { exitCode: 1, signal: null }
  for (const output of [
    'Error: ENOSPC: no space left on device, write',
    'Error: EDQUOT: disk quota exceeded, open',
    'tensorflow: /tmp/x: No space left on device'
  ]) {
    const outcome = outcomeOf(ending({ end, output }))
    assert.ok(outcome.kind === 'postponed', output)
    assert.match(outcome.detail, /no room is left on the worker's disk/)
  }
})

test('outcomeOf() tells of a crash its cause, the evidence, the peak and the last lines', () => {
  const outcome = outcomeOf(
    ending({
      end: { exitCode: null, signal: 'SIGABRT' },
      output: `${'old\n'.repeat(60)}FATAL ERROR: JavaScript heap out of memory\n`,
      peak: 3 * 2 ** 20,
      progressed: true
    })
  )
  assert.ok(outcome.kind === 'crashed')
  const { cause, exitCode, signal, progressed, detail } = outcome
  assert.deepEqual([cause, exitCode, signal, progressed], ['memory', null, 'SIGABRT', true])
  assert.match(
    detail,
    /signal SIGABRT; for want of memory: it said "JavaScript heap out of memory"; its memory had reached 3\.0 MiB/
  )
  assert.equal(detail.split('old').length - 1, 39)
})

test('outcomeOf() tells exits from signals', () => {
  const exit = outcomeOf(ending({ end: { exitCode: 7, signal: null } }))
  assert.ok(exit.kind === 'crashed')
  assert.deepEqual([exit.cause, exit.exitCode], ['exit', 7])
  const signal = outcomeOf(ending({ end: segfault }))
  assert.ok(signal.kind === 'crashed')
  assert.deepEqual([signal.cause, signal.signal], ['signal', 'SIGSEGV'])
})

test('outcomeOf() holds an end that was ordered for no crash, however it came', () => {
  for (const ordered of ['cancelled', 'released'] as const) {
    assert.deepEqual(outcomeOf(ending({ end: segfault, ordered })), { kind: ordered })
  }
})

test('outcomeOf() believes a report whatever came after it, and no other word before a crash', () => {
  const done = { type: 'done', report: {}, stopReason: null } as Ending['farewell']
  assert.equal(outcomeOf(ending({ farewell: done, end: segfault })).kind, 'completed')
  const outcome = outcomeOf(ending({ farewell: failed('X'), end: segfault }))
  assert.equal(outcome.kind, 'crashed')
})

test('troubleOf() puts off for want of room here and there, and calls the rest a crash of the supervisor', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  assert.equal(troubleOf(full, false).kind, 'postponed')
  assert.equal(troubleOf(new ApiRefusal(507, 'DISK_FULL', 'no room'), false).kind, 'postponed')
  const away = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
  const outcome = troubleOf(away, true)
  assert.ok(outcome.kind === 'crashed')
  assert.deepEqual([outcome.cause, outcome.progressed], ['supervisor', true])
  assert.match(outcome.detail, /fetch failed \(connect ECONNREFUSED\)/)
})

test('insteadOf() makes a failure of an outcome that is refused, and of no other error', () => {
  const refused = new ApiRefusal(413, 'REQUEST_TOO_LARGE', 'Cannot read the request')
  assert.deepEqual(insteadOf({ kind: 'cancelled' }, refused), {
    kind: 'failed',
    code: 'REQUEST_TOO_LARGE',
    detail:
      'Cannot end the attempt as cancelled: the api refuses it: REQUEST_TOO_LARGE: Cannot read the request'
  })
  for (const error of [
    new ApiRefusal(409, 'ATTEMPT_STALE', 'another runs'),
    new ApiRefusal(404, 'JOB_NOT_FOUND', 'deleted'),
    new ApiRefusal(503, 'SHUTTING_DOWN', 'bye'),
    new TypeError('fetch failed')
  ]) {
    assert.equal(insteadOf({ kind: 'cancelled' }, error), undefined)
  }
})
