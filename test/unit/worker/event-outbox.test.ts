import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobEvent } from '../../../src/contract/internal.ts'
import { EventOutbox } from '../../../src/worker/event-outbox.ts'

const line = (message: string): JobEvent => ({ type: 'log', at: '', level: 'info', message })
const text = (events: readonly JobEvent[]): string[] =>
  events.map((event) => (event.type === 'log' ? event.message : event.type))

const outboxOf = (send: (events: JobEvent[]) => Promise<void>): EventOutbox =>
  new EventOutbox({ send: ({ events }) => send(events), onFailure: () => {} })

test('EventOutbox sends what is added together as one batch, in order', async () => {
  const batches: string[][] = []
  const outbox = outboxOf(async (events) => void batches.push(text(events)))
  for (const message of ['a', 'b', 'c']) outbox.add(line(message))
  await outbox.flush()
  assert.deepEqual(batches, [['a', 'b', 'c']])
})

test('EventOutbox keeps one batch under way and collects the rest meanwhile', async () => {
  const batches: string[][] = []
  let answer = (): void => {}
  const outbox = outboxOf((events) => {
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
  const closed = outbox.flush()
  await new Promise(setImmediate)
  answer()
  await closed
  assert.deepEqual(batches, [['a'], ['b', 'c']])
})

test('EventOutbox.flush() rejects with what sending threw, and nothing is lost before it', async () => {
  const outbox = outboxOf(() => Promise.reject(new Error('away')))
  outbox.add(line('a'))
  await assert.rejects(outbox.flush(), /away/)
})

test('EventOutbox splits what exceeds the largest batch', async () => {
  const sizes: number[] = []
  const outbox = outboxOf(async (events) => void sizes.push(events.length))
  for (let i = 0; i < 1201; i += 1) outbox.add(line(String(i)))
  await outbox.flush()
  assert.deepEqual(sizes, [500, 500, 201])
})

test('EventOutbox tells of a failure once, without being asked', async () => {
  const failures: unknown[] = []
  const outbox = new EventOutbox({
    send: () => Promise.reject(new Error('away')),
    onFailure: (error) => failures.push(String(error))
  })
  outbox.add(line('a'))
  outbox.add(line('b'))
  await assert.rejects(outbox.flush(), /away/)
  assert.deepEqual(failures, ['Error: away'])
})

test('EventOutbox.flush() and add() never have two batches under way', async () => {
  let under = 0
  let most = 0
  const sent: string[] = []
  const outbox = outboxOf(async (events) => {
    most = Math.max(most, ++under)
    await new Promise(setImmediate)
    sent.push(...text(events))
    under -= 1
  })
  outbox.add(line('a'))
  const flushed = outbox.flush()
  for (const message of ['b', 'c', 'd']) {
    outbox.add(line(message))
    await new Promise(setImmediate)
    await outbox.flush()
  }
  await flushed
  assert.equal(most, 1)
  assert.deepEqual(sent, ['a', 'b', 'c', 'd'])
})

test('EventOutbox sends what may have been stored again as it was, under the same number', async () => {
  const sent: [number, string[]][] = []
  let fails = true
  const outbox = new EventOutbox({
    async send({ n, events }) {
      sent.push([n, text(events)])
      if (fails) throw new Error('the answer was lost')
    },
    onFailure: () => {}
  })
  outbox.add(line('a'))
  await assert.rejects(outbox.flush(), /lost/)
  outbox.add(line('b'))
  fails = false
  await outbox.flush()
  outbox.add(line('c'))
  await outbox.flush()
  assert.deepEqual(sent.at(0), [1, ['a']])
  assert.deepEqual(sent.slice(-3), [
    [1, ['a']],
    [2, ['b']],
    [3, ['c']]
  ])
})
