import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { unflushed } from '../../../src/catalog/unflushed.ts'
import { temporaryFolder } from '../../support/catalog.ts'

const levels = { normal: 1, full: 2 }
async function level(db: Catalog): Promise<number | undefined> {
  const { rows } = await sql<{ synchronous: number }>`pragma synchronous`.execute(db)
  return rows[0]?.synchronous
}

test('unflushed() waits for the disk again afterwards, also when the write fails', async (t) => {
  const db = await openCatalog(join(await temporaryFolder(t), 'catalog.sqlite'))
  t.after(() => db.destroy())
  assert.equal(await level(db), levels.full)
  assert.equal(await unflushed(db, level), levels.normal)
  assert.equal(await level(db), levels.full)
  const failing = unflushed(db, () => Promise.reject(new Error('no room')))
  await assert.rejects(failing, /no room/)
  assert.equal(await level(db), levels.full)
})

test('unflushed() lets nobody else write without the disk', async (t) => {
  const db = await openCatalog(join(await temporaryFolder(t), 'catalog.sqlite'))
  t.after(() => db.destroy())
  const [inside, beside] = await Promise.all([unflushed(db, level), level(db)])
  assert.deepEqual([inside, beside], [levels.normal, levels.full])
})
