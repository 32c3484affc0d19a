/** The images of a dataset's newest version, one by one: list, find, relabel, remove. */
import type { Selectable } from 'kysely'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import type { DatasetRow } from './datasets.ts'
import type { DatasetImageTable } from './migration/0001-datasets.ts'
import type { Catalog } from './open.ts'

export type StoredImage = Selectable<DatasetImageTable>

export interface ImageFilter {
  readonly label?: string | undefined
  readonly split?: StoredImage['split'] | undefined
  readonly limit: number
  /** Id of the last image of the page before. */
  readonly cursor?: string | undefined
}

/** A page of the newest version's images, newest first. */
export async function listImages(
  db: Catalog,
  dataset: string,
  { label, split, limit, cursor }: ImageFilter
): Promise<{ readonly rows: StoredImage[]; readonly next: string | null }> {
  let query = db
    .selectFrom('dataset_images')
    .selectAll()
    .where('dataset_id', '=', dataset)
    .where('to_version', 'is', null)
    .orderBy('id', 'desc')
  if (label !== undefined) query = query.where('label', '=', label)
  if (split !== undefined) query = query.where('split', '=', split)
  if (cursor !== undefined) query = query.where('id', '<', cursor)
  const found = await query.limit(limit + 1).execute()
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null }
}

/** @throws ServiceError IMAGE_NOT_FOUND */
export async function getImage(
  db: Catalog | CatalogTransaction,
  dataset: Pick<DatasetRow, 'id' | 'name'>,
  id: string
): Promise<StoredImage> {
  const row = await db
    .selectFrom('dataset_images')
    .selectAll()
    .where('dataset_id', '=', dataset.id)
    .where('id', '=', id)
    .where('to_version', 'is', null)
    .executeTakeFirst()
  if (row !== undefined) return row
  throw new ServiceError('IMAGE_NOT_FOUND', {
    detail: `Cannot find the image: the newest version of ${dataset.name} has none of this id, received ${JSON.stringify(id.slice(0, 100))}`
  })
}

/** The newest version's images with one of these contents. */
export async function imagesWithContent(
  trx: CatalogTransaction,
  dataset: string,
  contents: readonly string[]
): Promise<StoredImage[]> {
  if (contents.length === 0) return []
  return trx
    .selectFrom('dataset_images')
    .selectAll()
    .where('dataset_id', '=', dataset)
    .where('to_version', 'is', null)
    .where('sha256', 'in', contents)
    .execute()
}

/** The splits that these contents had in any version: an image that comes back has not moved. */
export async function earlierSplits(
  trx: CatalogTransaction,
  dataset: string,
  contents: readonly string[]
): Promise<ReadonlyMap<string, StoredImage['split']>> {
  if (contents.length === 0) return new Map()
  const rows = await trx
    .selectFrom('dataset_images')
    .select(['sha256', 'split'])
    .where('dataset_id', '=', dataset)
    .where('sha256', 'in', contents)
    .execute()
  return new Map(rows.map(({ sha256, split }) => [sha256, split]))
}

/** How many images of a class each split of the newest version holds. */
export async function splitCounts(
  trx: CatalogTransaction,
  dataset: string,
  label: string
): Promise<Record<StoredImage['split'], number>> {
  const rows = await trx
    .selectFrom('dataset_images')
    .select(['split', (eb) => eb.fn.countAll<number>().as('count')])
    .where('dataset_id', '=', dataset)
    .where('label', '=', label)
    .where('to_version', 'is', null)
    .groupBy('split')
    .execute()
  const counts = { train: 0, validation: 0, test: 0 }
  for (const { split, count } of rows) counts[split] = Number(count)
  return counts
}

/** Ends an image's row with the version before `version`. */
export async function endImage(
  trx: CatalogTransaction,
  image: StoredImage,
  version: number
): Promise<void> {
  await trx
    .updateTable('dataset_images')
    .set({ to_version: version })
    .where('dataset_id', '=', image.dataset_id)
    .where('id', '=', image.id)
    .where('to_version', 'is', null)
    .execute()
}
