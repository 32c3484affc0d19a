import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { sql } from 'kysely'
import { getJob } from '../../../src/catalog/jobs.ts'
import { openCatalog } from '../../../src/catalog/open.ts'
import { queuedJob, temporaryCatalog, temporaryFolder } from '../../support/catalog.ts'

test('openCatalog() migrates once and finds again what was stored', async (t) => {
  const file = join(await temporaryFolder(t), 'deep', 'catalog.sqlite')
  const first = await openCatalog(file)
  const job = await queuedJob(first)
  await first.destroy()
  const second = await openCatalog(file)
  t.after(() => second.destroy())
  assert.deepEqual(await getJob(second, job.id), job)
})

test('openCatalog() opens durably: write-ahead log, full synchronisation, foreign keys', async (t) => {
  const db = await temporaryCatalog(t)
  const pragma = async (name: string) =>
    Object.values((await sql`pragma ${sql.raw(name)}`.execute(db)).rows[0] as object)[0]
  assert.equal(await pragma('journal_mode'), 'wal')
  assert.equal(await pragma('synchronous'), 2)
  assert.equal(await pragma('foreign_keys'), 1)
})

test('openCatalog() refuses a file of a newer service', async (t) => {
  const file = join(await temporaryFolder(t), 'catalog.sqlite')
  const newer = new DatabaseSync(file)
  newer.exec('pragma user_version = 999')
  newer.close()
  await assert.rejects(openCatalog(file), /it has version 999/)
})

test('a transaction that throws leaves nothing, and the catalogue goes on', async (t) => {
  const db = await temporaryCatalog(t)
  const { id } = await queuedJob(db)
  const failing = db.transaction().execute(async (trx) => {
    await trx.deleteFrom('jobs').execute()
    throw new Error('half-way')
  })
  await assert.rejects(failing, /half-way/)
  assert.equal((await getJob(db, id)).id, id)
})
