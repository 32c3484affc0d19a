import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import { deleteJob } from '../../../src/catalog/jobs.ts'
import { openCatalog } from '../../../src/catalog/open.ts'
import { quiet } from '../../support/api-app.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { answering, key, onlyDelivery, setting, toldJob, tried } from '../../support/deliverer.ts'
import { until } from '../../support/until.ts'
import { webhookReceiver } from '../../support/webhook-receiver.ts'

test('the timer of a waiting message needs no call', async (t) => {
  const receiver = await webhookReceiver(t)
  const { db, deliverer } = await setting(t, { now: () => new Date() })
  const job = await toldJob(db, { url: receiver.url }, new Date(Date.now() + 100))
  deliverer.wake()
  // The timer alone would not keep the process.
  await until(() => receiver.received.length > 0)
  assert.equal((await tried(db, job, 1)).state, 'delivered')
})

test('a message that falls due while a pass is under way is not overlooked', async (t) => {
  const receiver = await webhookReceiver(t)
  const due = Date.now()
  let looks = 0
  // Only the first look comes before the message is due.
  const now = () => new Date(looks++ < 1 ? due - 1 : due)
  const { db, deliverer } = await setting(t, { now })
  const job = await toldJob(db, { url: receiver.url }, new Date(due))
  deliverer.wake()
  assert.equal((await tried(db, job, 1)).state, 'delivered')
})

test('what was being sent when the process ended is sent again by the next', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = () => {}
  const file = join(await temporaryFolder(t), 'catalog.sqlite')
  const before = await openCatalog(file)
  const first = await setting(t, { db: before })
  const job = await toldJob(before, { url: receiver.url })
  first.deliverer.wake()
  await until(() => receiver.received.length === 1)
  await first.deliverer.close()
  const { attempts, state } = await onlyDelivery(before, job)
  assert.deepEqual([attempts, state], [[], 'pending'])
  await before.destroy()

  const after = await openCatalog(file)
  t.after(() => after.destroy())
  receiver.answer = answering()
  const second = await setting(t, { db: after })
  second.deliverer.wake()
  assert.equal((await tried(after, job, 1)).state, 'delivered')
  const [one, two] = receiver.received
  assert.equal(one?.body, two?.body)
  assert.equal(one?.headers['webhook-id'], two?.headers['webhook-id'])
})

test('a slow receiver holds two connections at most, and nobody else up', async (t) => {
  const slow = await webhookReceiver(t)
  const held: ServerResponse[] = []
  slow.answer = (response) => void held.push(response)
  const quick = await webhookReceiver(t)
  const { db, deliverer } = await setting(t)
  for (let n = 0; n < 30; n += 1) await toldJob(db, { url: `http://slow.example:${slow.port}/` })
  const jobs: string[] = []
  for (let n = 0; n < 5; n += 1) {
    jobs.push(await toldJob(db, { url: `http://quick.example:${quick.port}/` }))
  }
  deliverer.wake()
  for (const job of jobs) assert.equal((await tried(db, job, 1)).state, 'delivered')
  await until(() => held.length === 2)
  assert.equal(slow.received.length, 2)
  slow.answer = answering()
  for (const response of held) response.end()
  await until(() => slow.received.length === 30)
  assert.equal(new Set(slow.received.map(({ headers }) => headers['webhook-id'])).size, 30)
})

test('many slow receivers together hold sixteen connections at most', async (t) => {
  const slow = await webhookReceiver(t)
  const held: ServerResponse[] = []
  slow.answer = (response) => void held.push(response)
  const { db, deliverer } = await setting(t)
  for (let n = 0; n < 20; n += 1)
    await toldJob(db, { url: `http://slow-${n}.example:${slow.port}/` })
  deliverer.wake()
  await until(() => held.length === 16)
  held[0]?.end()
  await until(() => held.length === 17)
  assert.equal(slow.received.length, 17)
})

test('a job that is deleted while its end is told leaves nothing behind', async (t) => {
  const receiver = await webhookReceiver(t)
  const held: ServerResponse[] = []
  receiver.answer = (response) => void held.push(response)
  const lines: unknown[] = []
  const log = { ...quiet(), info: (...line: unknown[]) => void lines.push(line) }
  const { db, deliverer } = await setting(t, { log })
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  await until(() => held.length === 1)
  await deleteJob(db, job)
  held[0]?.end()
  await until(() => lines.length === 1)
  const rows = await db.selectFrom('delivery_attempts').selectAll().execute()
  assert.deepEqual(rows, [])
})

/** Has the catalogue refuse the outcome of every try, as one does that is full, until it is dropped. */
const full = sql`create trigger full before insert on delivery_attempts
  begin select raise(abort, 'the catalogue is full'); end`

test('what was sent and could not be noted is sent again after ever longer pauses, not by wake', async (t) => {
  const receiver = await webhookReceiver(t)
  const postponed: string[] = []
  const error = ({ deliveryId }: { readonly deliveryId: string }) => void postponed.push(deliveryId)
  const { db, deliverer, clock } = await setting(t, { log: { ...quiet(), error } })
  await full.execute(db)
  const job = await toldJob(db, { url: receiver.url })
  const { id } = await onlyDelivery(db, job)
  const tries = (n: number) => until(() => postponed.filter((other) => other === id).length === n)
  // Another message goes out behind it, so it has been passed over by then.
  const wakeInVain = async () => {
    const other = await webhookReceiver(t)
    deliverer.wake()
    await toldJob(db, { url: other.url }, new Date(clock.now))
    deliverer.wake()
    await until(() => other.received.length === 1)
  }
  deliverer.wake()
  await tries(1)
  for (let n = 0; n < 3; n += 1) await wakeInVain()
  assert.equal(receiver.received.length, 1)
  clock.now += 15_000
  deliverer.wake()
  await tries(2)
  clock.now += 15_000
  await wakeInVain()
  assert.equal(receiver.received.length, 2)
  await sql`drop trigger full`.execute(db)
  clock.now += 15_000
  deliverer.wake()
  assert.equal((await tried(db, job, 1)).state, 'delivered')
  assert.equal(receiver.received.length, 3)
  assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1)
})

test('the end of a pause needs no call', async (t) => {
  const receiver = await webhookReceiver(t)
  let ahead = 0
  const now = () => new Date(Date.now() + ahead)
  // By the time the pause has begun it is almost over.
  const error = () => {
    ahead += 14_900
  }
  const { db, deliverer } = await setting(t, { now, log: { ...quiet(), error } })
  await full.execute(db)
  const job = await toldJob(db, { url: receiver.url }, now())
  deliverer.wake()
  await until(() => ahead > 0)
  await sql`drop trigger full`.execute(db)
  assert.equal((await tried(db, job, 1)).state, 'delivered')
})

test('a message that somebody asks for again is sent in spite of its pause', async (t) => {
  const receiver = await webhookReceiver(t)
  const lines: unknown[] = []
  const log = { ...quiet(), error: (...line: unknown[]) => void lines.push(line) }
  const { db, deliverer } = await setting(t, { log })
  await full.execute(db)
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  await until(() => lines.length === 1)
  await sql`drop trigger full`.execute(db)
  deliverer.wake((await onlyDelivery(db, job)).id)
  assert.equal((await tried(db, job, 1)).state, 'delivered')
})

test('without a key nothing is sent; after a pause it is tried again', async (t) => {
  const receiver = await webhookReceiver(t)
  let broken = true
  let asked = 0
  const lines: unknown[] = []
  const log = { ...quiet(), error: (...line: unknown[]) => void lines.push(line) }
  const { db, deliverer, clock } = await setting(t, {
    log,
    key: async () => {
      asked += 1
      if (broken) throw new Error('Cannot sign')
      return key
    }
  })
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  await until(() => lines.length === 1)
  broken = false
  assert.deepEqual([asked, receiver.received.length], [1, 0])
  clock.now += 15_000
  deliverer.wake()
  assert.equal((await tried(db, job, 1)).state, 'delivered')
})

test('the log names hosts and never what follows them', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = answering(500)
  const facts: unknown[] = []
  const note = (...line: unknown[]) => void facts.push(line)
  const log = { ...quiet(), info: note, warn: note, error: note }
  const { db, deliverer, clock } = await setting(t, { log })
  const job = await toldJob(db, { url: receiver.url })
  deliverer.wake()
  const { id, nextAt } = await tried(db, job, 1)
  clock.now = Date.parse(nextAt ?? '')
  deliverer.wake()
  await until(() => facts.length === 2)
  const text = JSON.stringify(facts)
  assert.match(text, new RegExp(`${id}.*127\\.0\\.0\\.1`))
  for (const hidden of ['hidden', '/hook', key.toString('base64')])
    assert.ok(!text.includes(hidden))
})
