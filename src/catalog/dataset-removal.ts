/** Removes image rows for good, page by page, and says which contents nobody refers to any more. */
import { sql } from 'kysely'
import type { CatalogTransaction } from './database.ts'
import type { Catalog } from './open.ts'

const rowsAtOnce = 500

/**
 * Removes some rows of a dataset, of all its versions.
 *
 * @returns null when there were none; else the contents of the removed rows that no row names now
 */
export async function removeImages(
  trx: CatalogTransaction,
  dataset: string
): Promise<string[] | null> {
  const rows = await trx
    .selectFrom('dataset_images')
    .select(['id', 'sha256'])
    .where('dataset_id', '=', dataset)
    .orderBy('id')
    .limit(rowsAtOnce)
    .execute()
  const last = rows.at(-1)
  if (last === undefined) return null
  await trx
    .deleteFrom('dataset_images')
    .where('dataset_id', '=', dataset)
    .where('id', '<=', last.id)
    .execute()
  return unreferencedImages(
    trx,
    rows.map(({ sha256 }) => sha256)
  )
}

/** Those of `contents`, some hundred at most, that no dataset holds in any version. */
export async function unreferencedImages(
  db: Catalog | CatalogTransaction,
  contents: readonly string[]
): Promise<string[]> {
  if (contents.length === 0) return []
  const rows = await db
    .selectFrom('dataset_images')
    .select('sha256')
    .distinct()
    .where('sha256', 'in', contents)
    .execute()
  const held = new Set(rows.map(({ sha256 }) => sha256))
  return [...new Set(contents)].filter((sha256) => !held.has(sha256))
}

/** Ids of datasets that are gone and of which image rows are left. Walks the key, not the rows. */
export async function findGoneDatasets(db: Catalog): Promise<string[]> {
  const { rows } = await sql<{ readonly id: string }>`
    with recursive held (id) as (
      select min(dataset_id) from dataset_images
      union all
      select (select min(dataset_id) from dataset_images where dataset_id > held.id)
      from held where held.id is not null
    )
    select id from held where id is not null and id not in (select id from datasets)`.execute(db)
  return rows.map(({ id }) => id)
}
