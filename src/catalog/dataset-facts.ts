/**
 * What is known of a dataset version without looking at pixels, computed once when it is frozen.
 *
 * Read from the rows in pages with a turn of the event loop between them: node:sqlite blocks.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { sql } from 'kysely'
import type { ClassCounts, HealthFinding, SideRange } from '../contract/dataset.ts'
import type { CatalogTransaction } from './database.ts'
import type { Catalog } from './open.ts'

export interface VersionFacts {
  readonly hash: string
  readonly images: number
  readonly bytes: number
  /** Null without images. */
  readonly width: SideRange | null
  readonly height: SideRange | null
  /** Whether every image shows no colour. */
  readonly grey: boolean
  /** In class-index order: that of JavaScript strings, by UTF-16 code units. */
  readonly classes: readonly ClassCounts[]
  readonly health: readonly HealthFinding[]
}

export interface FactImage {
  readonly id: string
  readonly sha256: string
  readonly label: string
  readonly split: 'train' | 'validation' | 'test'
  readonly width: number
  readonly height: number
  readonly bytes: number
  readonly grey: number
}

type Reader = Catalog | CatalogTransaction

const pageSize = 2000

/** The images of a version in ascending order of SHA-256, a page at a time. */
export async function* imagesOfVersion(
  db: Reader,
  dataset: string,
  version: number
): AsyncGenerator<FactImage[]> {
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('dataset_images')
      .select(['id', 'sha256', 'label', 'split', 'width', 'height', 'bytes', 'grey'])
      .where('dataset_id', '=', dataset)
      .where('from_version', '<=', version)
      .where((eb) => eb.or([eb('to_version', 'is', null), eb('to_version', '>', version)]))
      .where('sha256', '>', after)
      .orderBy('sha256')
      .limit(pageSize)
      .execute()
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < pageSize) return
    after = last.sha256
    await nextTurn()
  }
}

/** Smallest, median and largest of one side over a version's images; null without images. */
export async function sideRange(
  db: Reader,
  { dataset, version, side }: { dataset: string; version: number; side: 'width' | 'height' }
): Promise<SideRange | null> {
  const of = db
    .selectFrom('dataset_images')
    .where('dataset_id', '=', dataset)
    .where('from_version', '<=', version)
    .where((eb) => eb.or([eb('to_version', 'is', null), eb('to_version', '>', version)]))
  const { count, min, max } = await of
    .select([
      sql<number>`count(*)`.as('count'),
      sql<number | null>`min(${sql.ref(side)})`.as('min'),
      sql<number | null>`max(${sql.ref(side)})`.as('max')
    ])
    .executeTakeFirstOrThrow()
  if (min === null || max === null) return null
  const middle = await of
    .select(side)
    .orderBy(side)
    .offset(Math.floor((count - 1) / 2))
    .limit(1)
    .executeTakeFirstOrThrow()
  return { min, median: middle[side], max }
}
