/**
 * A consistent copy of a catalogue that another process may be writing to, and what it refers to.
 *
 * `VACUUM INTO` (sqlite.org/lang_vacuum.html) copies inside one read transaction: the copy is the
 * catalogue of one moment, and the writer does not wait.
 */
import { open } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import type { Catalog } from './open.ts'

/** Writes a copy of the catalogue `from` to the new file `to`, durably. */
export async function snapshotCatalog(from: string, to: string): Promise<void> {
  const database = new DatabaseSync(from, { readOnly: true, timeout: 30_000 })
  try {
    database.prepare('vacuum into ?').run(to)
  } finally {
    database.close()
  }
  const handle = await open(to)
  await handle.sync()
  await handle.close()
}

/** What the rows of a catalogue stand for, outside of it. */
export interface Referenced {
  /** SHA-256 of model files and checkpoints. */
  readonly blobs: readonly string[]
  /** SHA-256 of the images of datasets. */
  readonly images: readonly string[]
  /** Datasets whose archive has not been imported yet: the names of their files in `uploads`. */
  readonly uploads: readonly string[]
}

/** @throws Error when the file is no sound SQLite database */
export function referencedBy(file: string): Referenced {
  const database = new DatabaseSync(file, { readOnly: true })
  const list = (sql: string): string[] =>
    database
      .prepare(sql)
      .all()
      .map((row) => String(row.name))
  try {
    const fault = database.prepare('pragma integrity_check(1)').get()?.integrity_check
    if (fault !== 'ok') throw new Error(`The catalogue is damaged: ${fault}`)
    return {
      blobs: list('select sha256 as name from artifacts union select sha256 from job_files'),
      images: list('select distinct sha256 as name from dataset_images'),
      uploads: list(`select id as name from datasets where status = 'importing'`)
    }
  } finally {
    database.close()
  }
}

/** No worker that held a job of the original reports to the copy: its jobs are free at once. */
export async function forgetHolders(copy: Catalog): Promise<void> {
  await copy
    .updateTable('jobs')
    .set({ heartbeat_at: null })
    .where('state', '=', 'running')
    .execute()
}
