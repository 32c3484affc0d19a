import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError } from '../../../src/errors.ts'
import { WorkerRegistry } from '../../../src/service/worker-registry.ts'

const engine = { name: 'wasm', version: '4', reason: 'nothing else is here', threads: 1 } as const
const startedAt = '2026-01-01T00:00:00Z'
const status = { engine, slots: 2, busy: 1, draining: false, startedAt }
const isUnknown = (error: unknown): boolean =>
  error instanceof ServiceError && error.code === 'WORKER_NOT_FOUND'

test('WorkerRegistry forgets a worker after twenty seconds of silence, or at its goodbye', () => {
  const workers = new WorkerRegistry()
  workers.note('b', status, 0)
  workers.note('a', status, 10_000)
  const names = (now: number) => workers.list(now).map(({ id }) => id)
  assert.deepEqual(names(20_000), ['a', 'b'])
  assert.deepEqual(names(20_001), ['a'])
  assert.deepEqual(names(30_001), [])
  workers.note('b', { ...status, busy: 0 }, 60_000)
  assert.deepEqual(workers.list(60_000)[0], {
    id: 'b',
    ...status,
    busy: 0,
    order: 'work',
    seenAt: new Date(60_000).toISOString()
  })
  workers.forget('b')
  assert.deepEqual(names(60_000), [])
})

test('WorkerRegistry hands an order out until another is given', () => {
  const workers = new WorkerRegistry()
  assert.deepEqual(workers.note('a', status, 0), { drain: false })
  assert.equal(workers.order('a', 'drain', 1).order, 'drain')
  assert.equal(workers.list(1)[0]?.draining, false)
  // It says what it did before it heard, then what it does since.
  assert.deepEqual(workers.note('a', status, 2), { drain: true })
  assert.deepEqual(workers.note('a', { ...status, draining: true }, 3), { drain: true })
  assert.equal(workers.order('a', 'work', 4).order, 'work')
  assert.deepEqual(workers.note('a', { ...status, draining: true }, 5), { drain: false })
  assert.deepEqual(workers.note('a', status, 6), { drain: false })
})

test('WorkerRegistry takes over what a worker was told by an earlier api', () => {
  const workers = new WorkerRegistry()
  assert.deepEqual(workers.note('a', { ...status, draining: true }, 0), { drain: true })
  assert.equal(workers.list(0)[0]?.order, 'drain')
})

test('WorkerRegistry has no order for a new process of an old name, or for one that is gone', () => {
  const workers = new WorkerRegistry()
  workers.note('a', status, 0)
  workers.order('a', 'drain', 1)
  const again = { ...status, startedAt: '2026-01-01T00:01:00Z' }
  assert.deepEqual(workers.note('a', again, 2), { drain: false })
  assert.throws(() => workers.order('b', 'drain', 3), isUnknown)
  assert.throws(() => workers.order('a', 'drain', 20_003), isUnknown)
})
