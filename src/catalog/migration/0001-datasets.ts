/** Tables of datasets: images, labels, splits, frozen versions, imports. */
import type { Kysely } from 'kysely'

export type DatasetTables = Record<never, never>

export async function up(_db: Kysely<never>): Promise<void> {}
