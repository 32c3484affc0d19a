import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobEvent } from '../../../src/contract/internal.ts'
import { EventOutbox } from '../../../src/worker/event-outbox.ts'

const line = (message: string): JobEvent => ({ type: 'log', at: '', level: 'info', message })
const text = (events: readonly JobEvent[]): string[] =>
  events.map((event) => (event.type === 'log' ? event.message : event.type))

test('EventOutbox sends what is added together as one batch, in order', async () => {
  const batches: string[][] = []
  const outbox = new EventOutbox(async (events) => void batches.push(text(events)))
  for (const message of ['a', 'b', 'c']) outbox.add(line(message))
  await outbox.close()
  assert.deepEqual(batches, [['a', 'b', 'c']])
})

test('EventOutbox keeps one batch under way and collects the rest meanwhile', async () => {
  const batches: string[][] = []
  let answer = (): void => {}
  const outbox = new EventOutbox((events) => {
    batches.push(text(events))
    return new Promise((resolve) => {
      answer = resolve
    })
  })
  outbox.add(line('a'))
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  outbox.add(line('b'))
  outbox.add(line('c'))
  await new Promise(setImmediate)
  assert.deepEqual(batches, [['a']])
  answer()
  const closed = outbox.close()
  await new Promise(setImmediate)
  answer()
  await closed
  assert.deepEqual(batches, [['a'], ['b', 'c']])
})

test('EventOutbox.close() rejects with what sending threw, and nothing is lost before it', async () => {
  const outbox = new EventOutbox(() => Promise.reject(new Error('away')))
  outbox.add(line('a'))
  await assert.rejects(outbox.close(), /away/)
})

test('EventOutbox splits what exceeds the largest batch', async () => {
  const sizes: number[] = []
  const outbox = new EventOutbox(async (events) => void sizes.push(events.length))
  for (let i = 0; i < 1201; i += 1) outbox.add(line(String(i)))
  await outbox.close()
  assert.deepEqual(sizes, [500, 500, 201])
})
