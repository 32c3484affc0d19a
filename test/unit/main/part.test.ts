import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { CannotStartError, type Ending, type Launch, Part } from '../../../src/main/part.ts'

const log = pino({ level: 'silent' })

/** Launches processes that end when told to; each entry of `starts` is one that refuses. */
function fakeProcess(starts: readonly (Error | null)[] = []) {
  const ends: ((ending: Ending) => void)[] = []
  let launched = Promise.withResolvers<number>()
  const launch: Launch = async (signal) => {
    signal.throwIfAborted()
    const error = starts[ends.length] ?? null
    const { promise, resolve } = Promise.withResolvers<Ending>()
    ends.push(resolve)
    launched.resolve(ends.length)
    launched = Promise.withResolvers()
    if (error) throw error
    return { ended: promise, stop: async () => resolve({ code: 0, signal: null }) }
  }
  return { launch, ends, next: () => launched.promise }
}

const part = (launch: Launch, onGivenUp: (error: Error) => void = () => {}) =>
  new Part({ name: 'fake', launch, log, onGivenUp, firstPauseMs: 1 })

const crash: Ending = { code: 1, signal: null }

test('Part starts a process again when it ends unasked', async () => {
  const { launch, ends, next } = fakeProcess()
  const kept = part(launch)
  await kept.start()
  const again = next()
  ends[0]?.(crash)
  assert.equal(await again, 2)
  await kept.stop()
})

test('Part goes on when a start fails', async () => {
  const { launch, ends, next } = fakeProcess([null, new Error('not yet'), null])
  const kept = part(launch)
  await kept.start()
  const second = next()
  ends[0]?.(crash)
  await second
  assert.equal(await next(), 3)
  await kept.stop()
})

test('Part does not start a process again that was stopped', async () => {
  const { launch, ends } = fakeProcess()
  const kept = part(launch)
  await kept.start()
  await kept.stop()
  assert.equal(ends.length, 1)
})

test('Part ends the pause before another start when it is stopped', async () => {
  const { launch, ends } = fakeProcess()
  const kept = new Part({ name: 'fake', launch, log, onGivenUp: () => {}, firstPauseMs: 3_600_000 })
  await kept.start()
  ends[0]?.(crash)
  await kept.stop()
  assert.equal(ends.length, 1)
})

test('Part gives up when another start cannot help', async () => {
  const { launch, ends } = fakeProcess([null, new CannotStartError('taken')])
  const { promise, resolve } = Promise.withResolvers<Error>()
  const kept = part(launch, resolve)
  await kept.start()
  ends[0]?.(crash)
  assert.equal((await promise).message, 'taken')
  assert.equal(ends.length, 2)
  await kept.stop()
})

test('Part.start() tries again when the process dies while it starts', async () => {
  const { launch, ends } = fakeProcess([new Error('killed'), new Error('killed'), null])
  const kept = part(launch)
  await kept.start()
  assert.equal(ends.length, 3)
  await kept.stop()
})

test('Part.start() rejects when the process never starts', async () => {
  const never = Array.from({ length: 9 }, (_, i) => new Error(`try ${i + 1}`))
  const { launch, ends } = fakeProcess(never)
  const kept = part(launch)
  await assert.rejects(kept.start(), /try 5/)
  assert.equal(ends.length, 5)
  await kept.stop()
})

test('Part.start() rejects at once when another start cannot help', async () => {
  const { launch, ends } = fakeProcess([new CannotStartError('taken')])
  const kept = part(launch)
  await assert.rejects(kept.start(), /taken/)
  assert.equal(ends.length, 1)
  await kept.stop()
})

test('Part ends a first start that is between two tries when it is stopped', async () => {
  const { launch, ends } = fakeProcess([new Error('killed')])
  const kept = new Part({ name: 'fake', launch, log, onGivenUp: () => {}, firstPauseMs: 3_600_000 })
  const started = kept.start()
  await new Promise((resolve) => setImmediate(resolve))
  await kept.stop()
  await assert.rejects(started, { name: 'AbortError' })
  assert.equal(ends.length, 1)
})
