/**
 * The catalogue when the disk is full: what cannot be written is refused as such, what was accepted
 * stays, and everything works again when there is room.
 *
 * SQLite's own page limit makes it answer SQLITE_FULL at the moment a test chooses, on any system. The
 * last test tries the same on a real disk, where one can be mounted.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import supertest from 'supertest'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { asDiskError, ServiceError } from '../../../src/errors.ts'
import { apiApp, readyDataset } from '../../support/api-app.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'
import { fillDisk, freeDisk, testOnSmallDisk } from '../../support/small-disk.ts'

/** Lets the database grow no more, or again. */
async function limitPages(db: Catalog, isFull: boolean): Promise<void> {
  const { rows } = await sql<{ readonly page_count: number }>`pragma page_count`.execute(db)
  const pages = isFull ? Number(rows[0]?.page_count) : 1_000_000
  await sql`pragma max_page_count = ${sql.raw(String(pages))}`.execute(db)
}

/** Writes until there is no room for one more row. Returns the refusal. */
async function fill(db: Catalog): Promise<unknown> {
  for (;;) {
    try {
      await db.transaction().execute(async (trx) => {
        await trx
          .insertInto('idempotency_keys')
          .values({
            caller: 'filler',
            route: '',
            key: crypto.randomUUID(),
            fingerprint: null,
            status: 200,
            headers: null,
            body: 'x'.repeat(200),
            created_at: ''
          })
          .execute()
      })
    } catch (error) {
      return error
    }
  }
}

const isDiskFull = (error: unknown): boolean => {
  const known = asDiskError(error, 'store it')
  return known instanceof ServiceError && known.code === 'DISK_FULL'
}

test('a transaction that a full disk rolls back says so, and the next one works', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  await limitPages(db, true)
  for (let tries = 0; tries < 3; tries++) assert.ok(isDiskFull(await fill(db)))
  const rows = await db.selectFrom('jobs').select('id').execute()
  assert.deepEqual(rows, [{ id }])
  await limitPages(db, false)
  await queuedJob(db)
  assert.equal((await db.selectFrom('jobs').select('id').execute()).length, 2)
})

test('a job that the catalogue has no room for is answered 507, and can be posted again', async (t) => {
  const api = await apiApp(t)
  const { app, db } = api
  await readyDataset(api)
  const post = (key: string) =>
    supertest(app.server)
      .post('/v1/jobs')
      .set('idempotency-key', key)
      .send({ dataset: 'digits', model: 'digits' })
  const accepted = await post('first')
  assert.equal(accepted.status, 202, accepted.text)
  await limitPages(db, true)
  await fill(db)
  const refused = await post('second')
  assert.deepEqual([refused.status, refused.body.code], [507, 'DISK_FULL'])
  assert.equal(refused.headers['retry-after'], '60')
  // What has been accepted is answered as it was, and what is there can be read.
  const again = await post('first')
  assert.deepEqual([again.status, again.body.id], [202, accepted.body.id])
  const list = await supertest(app.server).get('/v1/jobs')
  assert.deepEqual(
    list.body.items.map((job: { id: string }) => job.id),
    [accepted.body.id]
  )
  await supertest(app.server).get('/health/ready').expect(200)
  await limitPages(db, false)
  const second = await post('second')
  assert.equal(second.status, 202, second.text)
  assert.notEqual(second.body.id, accepted.body.id)
  const replayed = await post('second')
  assert.deepEqual([replayed.status, replayed.body.id], [202, second.body.id])
})

test('a key whose request was refused for want of room is free once there is room', async (t) => {
  const api = await apiApp(t)
  const { app, db } = api
  await readyDataset(api)
  // As if it filled up after the key was reserved: neither the job nor the release can be written.
  await sql`create trigger full_jobs before insert on jobs
    begin select raise(abort, 'full'); end`.execute(db)
  await sql`create trigger full_keys before delete on idempotency_keys
    begin select raise(abort, 'full'); end`.execute(db)
  const post = () =>
    supertest(app.server)
      .post('/v1/jobs')
      .set('idempotency-key', 'k')
      .send({ dataset: 'digits', model: 'digits' })
  assert.ok((await post()).status >= 500)
  await sql`drop trigger full_jobs`.execute(db)
  await sql`drop trigger full_keys`.execute(db)
  const taken = await post()
  assert.equal(taken.status, 202, taken.text)
})

testOnSmallDisk(
  'a catalogue on a disk that is really full refuses, keeps, recovers and can be opened again',
  { file: import.meta.filename, MiB: 8 },
  async (_t, disk) => {
    const file = join(disk, 'catalog', 'catalog.sqlite')
    const db = await openCatalog(file)
    const { id } = await queuedJob(db)
    fillDisk(disk)
    assert.ok(isDiskFull(await fill(db)))
    assert.deepEqual(await db.selectFrom('jobs').select('id').execute(), [{ id }])
    await freeDisk(disk)
    const second = await queuedJob(db)
    await db.destroy()
    const reopened = await openCatalog(file)
    const rows = await reopened.selectFrom('jobs').select('id').orderBy('id').execute()
    assert.deepEqual(
      rows.map((row) => row.id),
      [id, second.id]
    )
    await reopened.destroy()
  }
)
