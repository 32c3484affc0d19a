import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cancelJob } from '../../../src/catalog/jobs.ts'
import { EventPages } from '../../../src/service/event-pages.ts'
import { queuedJob, temporaryCatalog, writeLog } from '../../support/catalog.ts'

test('followers that want the same page share one read, unless it has begun', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const pages = new EventPages(db)
  const first = pages.read(id, 0)
  assert.equal(pages.read(id, 0), first)
  assert.notEqual(pages.read(id, 1), first)
  const before = await first
  assert.deepEqual([before.state, before.rows.length, before.isFull], ['queued', 1, false])
  await cancelJob(db, id)
  const after = await pages.read(id, 0)
  assert.deepEqual([after.state, after.rows.length], ['cancelled', 2])
})

test('a read that fails fails those who share it, and nobody after them', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const pages = new EventPages(db)
  await db.schema.alterTable('job_events').renameTo('away').execute()
  await assert.rejects(pages.read(id, 0), /no such table/)
  await db.schema.alterTable('away').renameTo('job_events').execute()
  assert.equal((await pages.read(id, 0)).rows.length, 1)
})

test('a page is full when there may be more, and empty where there is no job', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await writeLog(db, { id, lines: 60, message: 'line' })
  const pages = new EventPages(db)
  const { rows, isFull } = await pages.read(id, 0)
  assert.deepEqual([rows.length, isFull], [50, true])
  const rest = await pages.read(id, rows.at(-1)?.seq ?? 0)
  assert.deepEqual([rest.rows.length, rest.isFull], [11, false])
  assert.deepEqual(await pages.read('job_x', 0), { state: undefined, rows: [], isFull: false })
})
