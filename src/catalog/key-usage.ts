/** How much each owner uses of what keys can limit: bytes stored, jobs queued, training per day. */
import type { CatalogTransaction } from './database.ts'
import type { Catalog } from './open.ts'

type Reader = Catalog | CatalogTransaction

/** Bytes of the images of an owner's datasets, each once per dataset, and of the files of its model versions. */
export async function bytesStored(db: Reader, owner: string): Promise<number> {
  const datasets = await db
    .selectFrom('datasets')
    .select((eb) => eb.fn.sum<number | null>('stored_bytes').as('bytes'))
    .where('owner', '=', owner)
    .executeTakeFirst()
  const models = await db
    .selectFrom('model_versions as v')
    .innerJoin('artifacts as a', (join) =>
      join.onRef('a.model_id', '=', 'v.model_id').onRef('a.version', '=', 'v.version')
    )
    .select((eb) => eb.fn.sum<number | null>('a.bytes').as('bytes'))
    .where('v.owner', '=', owner)
    .executeTakeFirst()
  return (datasets?.bytes ?? 0) + (models?.bytes ?? 0)
}

/** Jobs of an owner that wait or run. */
export async function jobsQueued(db: Reader, owner: string): Promise<number> {
  const row = await db
    .selectFrom('jobs')
    .select((eb) => eb.fn.countAll<number>().as('jobs'))
    .where('owner', '=', owner)
    .where('state', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  return row.jobs
}

/** Running time of an owner's jobs on a UTC day such as `2026-11-24`, in milliseconds. */
export async function trainingMs(db: Reader, owner: string, day: string): Promise<number> {
  const row = await db
    .selectFrom('key_usage')
    .select('training_ms')
    .where('owner', '=', owner)
    .where('day', '=', day)
    .executeTakeFirst()
  return row?.training_ms ?? 0
}

/** The bytes of a dataset's images that are counted so far. */
export async function datasetBytes(trx: CatalogTransaction, dataset: string): Promise<number> {
  const row = await trx
    .selectFrom('datasets')
    .select('stored_bytes')
    .where('id', '=', dataset)
    .executeTakeFirst()
  return row?.stored_bytes ?? 0
}

/** Notes what a dataset's images take, or are about to take. */
export async function setDatasetBytes(
  trx: CatalogTransaction,
  dataset: string,
  bytes: number
): Promise<void> {
  await trx.updateTable('datasets').set({ stored_bytes: bytes }).where('id', '=', dataset).execute()
}
