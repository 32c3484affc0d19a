import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { jobDeliveries, redeliver } from '../../../src/catalog/deliveries.ts'
import { failWaitingJob } from '../../../src/catalog/job-outcome.ts'
import type { WebhookEvent } from '../../../src/contract/job.ts'
import type { Resolve } from '../../../src/webhook/resolve.ts'
import { queuedJob } from '../../support/catalog.ts'
import {
  answering,
  key,
  onlyDelivery,
  setting,
  start,
  statuses,
  toldJob,
  tried
} from '../../support/deliverer.ts'
import { until } from '../../support/until.ts'
import { isSigned, webhookReceiver } from '../../support/webhook-receiver.ts'

test('the end of a job is told once, signed, with the job document', async (t) => {
  const receiver = await webhookReceiver(t)
  const { db, deliverer } = await setting(t)
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  const delivery = await tried(db, job, 1)
  assert.deepEqual(
    [delivery.state, delivery.nextAt, delivery.event],
    ['delivered', null, 'cancelled']
  )
  assert.equal(delivery.createdAt, new Date(start).toISOString())
  const [message] = receiver.received
  assert.ok(message && isSigned(message, key.toString('base64')))
  assert.equal(message.headers['webhook-id'], delivery.id)
  assert.match(delivery.id, /^msg_[0-9a-z]{26}$/)
  const { type, timestamp, data } = JSON.parse(message.body)
  assert.deepEqual([type, timestamp], ['job.cancelled', data.finishedAt])
  assert.deepEqual([data.id, data.state, data.stopReason], [job, 'cancelled', 'cancelled'])
  // Looking again finds nothing to do.
  deliverer.wake()
  await deliverer.close()
  assert.equal(receiver.received.length, 1)
})

test('a failed try is repeated after a while, with the same id and the same bytes', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = answering(500, 503)
  const { db, deliverer, clock } = await setting(t)
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  for (let tries = 1; tries <= 2; tries += 1) {
    const { state, nextAt } = await tried(db, job, tries)
    assert.equal(state, 'pending')
    const due = Date.parse(nextAt ?? '')
    assert.ok(due > clock.now)
    clock.now = due - 1
    deliverer.wake()
    clock.now = due
    deliverer.wake()
  }
  const delivery = await tried(db, job, 3)
  assert.deepEqual([delivery.state, delivery.nextAt], ['delivered', null])
  assert.deepEqual(statuses(delivery), [500, 503, 200])
  assert.deepEqual(
    delivery.attempts.map(({ error }) => error),
    ['answered 500', 'answered 503', null]
  )
  const { received } = receiver
  assert.ok(received.every((message) => isSigned(message, key.toString('base64'))))
  assert.deepEqual(new Set(received.map(({ body }) => body)).size, 1)
  assert.deepEqual(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 1)
  assert.equal(new Set(received.map(({ headers }) => headers['webhook-timestamp'])).size, 3)
})

test('a receiver that nobody can reach is told when it is back', async (t) => {
  const receiver = await webhookReceiver(t)
  let address = '127.0.0.2'
  const resolve: Resolve = async () => [{ address, family: 4 }]
  const { db, deliverer, clock } = await setting(t, { resolve })
  const job = await toldJob(db, { url: `http://hooks.example:${receiver.port}/` })
  deliverer.wake()
  const refused = await tried(db, job, 1)
  assert.match(refused.attempts[0]?.error ?? '', /ECONNREFUSED/)
  assert.equal(refused.attempts[0]?.status, null)
  address = '127.0.0.1'
  clock.now = Date.parse(refused.nextAt ?? '')
  deliverer.wake()
  assert.equal((await tried(db, job, 2)).state, 'delivered')
})

test('410 ends it, a redirect does not, and after a day it has failed', async (t) => {
  const [gone, moved] = [await webhookReceiver(t), await webhookReceiver(t)]
  gone.answer = answering(410)
  moved.answer = (response) => response.writeHead(302, { location: gone.url }).end()
  const { db, deliverer, clock } = await setting(t)
  const ended = await toldJob(db, { url: gone.url })
  const redirected = await toldJob(db, { url: moved.url })
  deliverer.wake()
  const first = await tried(db, ended, 1)
  assert.deepEqual([first.state, first.nextAt], ['failed', null])
  for (let tries = 1; tries < 11; tries += 1) {
    const { nextAt, state } = await tried(db, redirected, tries)
    assert.equal(state, 'pending')
    clock.now = Date.parse(nextAt ?? '')
    deliverer.wake()
  }
  const last = await tried(db, redirected, 11)
  assert.deepEqual([last.state, last.nextAt], ['failed', null])
  assert.match(last.attempts[0]?.error ?? '', /302: redirects are not followed/)
  const hours = (clock.now - start) / 3_600_000
  assert.ok(hours > 21 && hours < 27, String(hours))
  assert.equal(gone.received.length, 1)
})

test('a message can be sent again, whatever became of it, as the same message', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = answering(200, 200, 410, 200)
  const { db, deliverer, clock } = await setting(t)
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  const { id } = await tried(db, job, 1)
  for (const [tries, state] of [
    [2, 'delivered'],
    [3, 'failed'],
    [4, 'delivered']
  ] as const) {
    clock.now += 1000
    const now = new Date(clock.now)
    const asked = await redeliver(db, { job, delivery: id }, now)
    assert.deepEqual([asked.state, asked.nextAt], ['pending', now.toISOString()])
    await redeliver(db, { job, delivery: id }, now)
    deliverer.wake()
    assert.equal((await tried(db, job, tries)).state, state)
  }
  assert.equal(new Set(receiver.received.map(({ body }) => body)).size, 1)
  assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1)
})

test('a redelivery that is asked for during the last try is not lost with it', async (t) => {
  const receiver = await webhookReceiver(t)
  const held: ServerResponse[] = []
  receiver.answer = (response, n) => {
    if (n === 10) held.push(response)
    else response.writeHead(500).end()
  }
  const { db, deliverer, clock } = await setting(t)
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  for (let tries = 1; tries < 11; tries += 1) {
    clock.now = Date.parse((await tried(db, job, tries)).nextAt ?? '')
    deliverer.wake()
  }
  await until(() => held.length === 1)
  const { id } = await onlyDelivery(db, job)
  await redeliver(db, { job, delivery: id }, new Date(clock.now))
  held[0]?.writeHead(500).end()
  const { state, nextAt } = await tried(db, job, 11)
  assert.equal(state, 'pending')
  clock.now = Date.parse(nextAt ?? '')
  receiver.answer = answering()
  deliverer.wake()
  assert.equal((await tried(db, job, 12)).state, 'delivered')
})

test('only the events that were asked for are told', async (t) => {
  const receiver = await webhookReceiver(t)
  const { db, deliverer } = await setting(t)
  const problem = { type: 'x', title: 'x', status: 422, code: 'DATASET_EMPTY', detail: 'empty' }
  const told = async (events: WebhookEvent[] | undefined): Promise<number> => {
    const webhook = { url: receiver.url, ...(events && { events }) }
    const failed = await queuedJob(db, { webhook })
    await failWaitingJob(db, failed.id, problem, new Date(start))
    const cancelled = await toldJob(db, webhook)
    const all = await Promise.all([failed.id, cancelled].map((id) => jobDeliveries(db, id)))
    return all.flat().length
  }
  assert.equal(await told(undefined), 2)
  assert.equal(await told(['failed']), 1)
  assert.equal(await told(['completed']), 0)
  deliverer.wake()
  await until(() => receiver.received.length === 3)
  const failure = receiver.received.map(({ body }) => JSON.parse(body))
  assert.deepEqual(failure.map(({ type }) => type).sort(), [
    'job.cancelled',
    'job.failed',
    'job.failed'
  ])
  const { data } = failure.find(({ type }) => type === 'job.failed')
  assert.deepEqual([data.state, data.error], ['failed', problem])
})
