/**
 * What an ended instance leaves in its folder: a sound catalogue, every file that it refers to with
 * the bytes it was stored with, and after a sweep no other file.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { type Blobs, openBlobs } from '../../src/blob/blobs.ts'
import { unreferencedImages } from '../../src/catalog/dataset-removal.ts'
import { unreferenced } from '../../src/catalog/job-files.ts'
import { type Catalog, openCatalog } from '../../src/catalog/open.ts'
import { sweepBlobs, type Unreferenced } from '../../src/service/sweep-blobs.ts'
import type { Run } from './actions.ts'
import type { Invariant } from './invariant.ts'

export const folderInvariants: readonly Invariant[] = [
  { name: 'the catalogue is sound', check: (run) => withCatalog(run, checkCatalog) },
  { name: 'ended jobs keep no checkpoints', check: (run) => withCatalog(run, checkFiles) },
  { name: 'model files: all there, and nothing else', check: checkStore('blobs', unreferenced) },
  { name: 'images: all there, and nothing else', check: checkStore('images', unreferencedImages) },
  { name: 'no upload or import is left half-done', check: checkUploads },
  { name: 'no fault was left to chance', check: checkLog }
]

async function withCatalog(
  run: Run,
  look: (run: Run, db: Catalog) => Promise<void>
): Promise<void> {
  const db = await openCatalog(join(run.instance.dataDir, 'catalog', 'catalog.sqlite'))
  try {
    await look(run, db)
  } finally {
    await db.destroy()
  }
}

async function checkCatalog({ ledger }: Run, db: Catalog): Promise<void> {
  const integrity = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db)
  const said = integrity.rows.map((row) => row.integrity_check).join()
  if (said !== 'ok') ledger.find('lost', 'the catalogue is damaged', said)
  const { rows } = await sql`pragma foreign_key_check`.execute(db)
  if (rows.length > 0) ledger.find('wrong', 'rows refer to others that are gone', rows)
}

async function checkFiles({ ledger }: Run, db: Catalog): Promise<void> {
  const rows = await db.selectFrom('job_files').selectAll().execute()
  if (rows.length > 0) ledger.find('wrong', 'files of ended jobs are kept', rows)
}

/** After a sweep for which everything is old enough, what is left must be what is referred to. */
function checkStore(folder: 'blobs' | 'images', free: Unreferenced): Invariant['check'] {
  return (run) =>
    withCatalog(run, async ({ instance, ledger }, db) => {
      const blobs = await openBlobs(join(instance.dataDir, folder))
      await sweepBlobs(db, blobs, free, Number.MAX_SAFE_INTEGER)
      const stored = new Set(await contentsOf(blobs))
      for (const sha256 of stored) {
        const bytes = await readFile(blobs.path(sha256))
        if (createHash('sha256').update(bytes).digest('hex') === sha256) continue
        ledger.find('lost', `${folder}/${sha256} holds other bytes`)
      }
      const { rows } = await sql<{ sha256: string }>`select distinct sha256 from ${sql.table(
        folder === 'blobs' ? 'artifacts' : 'dataset_images'
      )}`.execute(db)
      const wanted = new Set(rows.map(({ sha256 }) => sha256))
      for (const sha256 of wanted.difference(stored)) {
        ledger.find('lost', `${folder}/${sha256} is gone`)
      }
      for (const sha256 of stored.difference(wanted)) {
        ledger.find('wrong', `${folder}/${sha256} is left, and nothing refers to it`)
      }
    })
}

async function contentsOf(blobs: Blobs): Promise<string[]> {
  const found: string[] = []
  for await (const { sha256 } of blobs.list()) found.push(sha256)
  return found
}

async function checkUploads({ instance, ledger }: Run): Promise<void> {
  for (const folder of ['uploads', 'imports']) {
    const left = await readdir(join(instance.dataDir, folder)).catch(() => [])
    if (left.length > 0) ledger.find('wrong', `${folder} holds what nobody needs`, left)
  }
}

/** Processes die by signals here, and never by an error that nothing has caught. */
async function checkLog({ instance, ledger }: Run): Promise<void> {
  const bad = /unhandled|uncaught|"level":60|"code":"INTERNAL"/i
  const lines = instance.output().split('\n')
  for (const [i, line] of lines.entries()) {
    if (!bad.test(line)) continue
    ledger.find('wrong', 'the log has an error that nobody foresaw', lines.slice(i, i + 12))
  }
}
