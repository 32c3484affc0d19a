import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keepUp } from '../../../src/service/upkeep.ts'

test('keepUp() never runs a chore on top of itself, survives its errors, and stops', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const ends: ((error?: Error) => void)[] = []
  const run = () =>
    new Promise<void>((resolve, reject) => {
      ends.push((error) => (error === undefined ? resolve() : reject(error)))
    })
  const errors: unknown[] = []
  const stop = keepUp([{ everyMs: 10, run }], (error) => errors.push(error))
  t.mock.timers.tick(10)
  t.mock.timers.tick(10)
  assert.equal(ends.length, 1)
  ends[0]?.(new Error('once'))
  await new Promise((resolve) => setImmediate(resolve))
  t.mock.timers.tick(10)
  assert.equal(ends.length, 2)
  assert.match(String(errors), /once/)
  const stopped = stop()
  let isStopped = false
  void stopped.then(() => {
    isStopped = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isStopped, false)
  ends[1]?.()
  await stopped
  t.mock.timers.tick(100)
  assert.equal(ends.length, 2)
})
