/**
 * Making versions: an image row holds for the versions from `from_version` up to `to_version`.
 *
 * A version is frozen by inserting its row into `dataset_versions`; until then the image rows of the
 * number after the newest are nobody's business.
 */
import type { Insertable } from 'kysely'
import type { ImportReport } from '../contract/dataset.ts'
import type { CatalogTransaction } from './database.ts'
import type { VersionFacts } from './dataset-facts.ts'
import type { DatasetError, DatasetRow } from './datasets.ts'
import type { DatasetImageTable } from './migration/0001-datasets.ts'
import type { Catalog } from './open.ts'

export type ImageRow = Insertable<DatasetImageTable>

/** SQLite takes 32,766 values per statement; a row has twelve. */
const rowsPerStatement = 500

/** Adds rows, some hundred at a time. */
export async function insertImages(
  trx: CatalogTransaction,
  rows: readonly ImageRow[]
): Promise<void> {
  for (let i = 0; i < rows.length; i += rowsPerStatement) {
    await trx
      .insertInto('dataset_images')
      .values(rows.slice(i, i + rowsPerStatement))
      .execute()
  }
}

export interface Frozen {
  readonly version: number
  readonly facts: VersionFacts
  /** Of the import that made it; absent when images were changed one by one. */
  readonly report?: ImportReport
}

/** Makes a version visible: the rows that hold for it are there already. */
export async function freezeVersion(
  trx: CatalogTransaction,
  { id }: Pick<DatasetRow, 'id'>,
  { version, facts, report }: Frozen,
  now = new Date()
): Promise<void> {
  await trx
    .insertInto('dataset_versions')
    .values({
      dataset_id: id,
      version,
      created_at: now.toISOString(),
      hash: facts.hash,
      facts: JSON.stringify(facts)
    })
    .execute()
  await trx
    .updateTable('datasets')
    .set({
      status: 'ready',
      version,
      ...(report === undefined ? {} : { report: JSON.stringify(report) })
    })
    .where('id', '=', id)
    .execute()
}

/** Ends an import that found nothing to keep, or broke off. No effect on a dataset that is not importing. */
export async function failImport(
  db: Catalog,
  id: string,
  { error, report }: { readonly error: DatasetError; readonly report: ImportReport | null }
): Promise<void> {
  await db
    .updateTable('datasets')
    .set({
      status: 'failed',
      error: JSON.stringify(error),
      stored_bytes: 0,
      report: report === null ? null : JSON.stringify(report)
    })
    .where('id', '=', id)
    .where('status', '=', 'importing')
    .execute()
}

/** Datasets whose import has not ended, oldest first. */
export async function findImporting(
  db: Catalog
): Promise<{ readonly id: string; readonly dispatch: number }[]> {
  return db
    .selectFrom('datasets')
    .select(['id', 'dispatch'])
    .where('status', '=', 'importing')
    .orderBy('id')
    .execute()
}

/** Gives an import another dispatch number, so that an older dispatch is not run any more. */
export async function redispatchImport(
  db: Catalog,
  id: string,
  { crashed }: { readonly crashed: boolean }
): Promise<{ readonly dispatch: number; readonly crashes: number } | undefined> {
  return db
    .updateTable('datasets')
    .set((eb) => ({
      dispatch: eb('dispatch', '+', 1),
      crashes: eb('crashes', '+', crashed ? 1 : 0)
    }))
    .where('id', '=', id)
    .where('status', '=', 'importing')
    .returning(['dispatch', 'crashes'])
    .executeTakeFirst()
}
