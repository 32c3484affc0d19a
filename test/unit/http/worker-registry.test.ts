import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WorkerRegistry } from '../../../src/http/worker-registry.ts'

const engine = { name: 'wasm', version: '4', reason: 'nothing else is here', threads: 1 } as const
const status = { engine, slots: 2, busy: 1 }

test('WorkerRegistry forgets a worker after thirty seconds of silence', () => {
  const workers = new WorkerRegistry()
  workers.note('b', status, 0)
  workers.note('a', status, 20_000)
  const names = (now: number) => workers.list(now).map(({ id }) => id)
  assert.deepEqual(names(30_000), ['a', 'b'])
  assert.deepEqual(names(30_001), ['a'])
  assert.deepEqual(names(50_001), [])
  workers.note('b', { ...status, busy: 0 }, 60_000)
  assert.deepEqual(workers.list(60_000)[0], {
    id: 'b',
    ...status,
    busy: 0,
    seenAt: new Date(60_000).toISOString()
  })
})
