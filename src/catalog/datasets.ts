/** Datasets as callers and jobs use them: create, find, list, describe, delete. */
import type { Selectable } from 'kysely'
import type { ManifestHeader, ManifestImage } from '../contract/internal.ts'
import { type ErrorCode, ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { imagesOfVersion, type VersionFacts } from './dataset-facts.ts'
import type { DatasetTable } from './migration/0001-datasets.ts'
import type { Catalog } from './open.ts'

type Reader = Catalog | CatalogTransaction

export type DatasetRow = Selectable<DatasetTable>

export interface DatasetError {
  readonly code: ErrorCode
  readonly detail: string
}

export interface FoundDataset {
  readonly id: string
  readonly name: string
  readonly status: DatasetTable['status']
  /** Newest version; null without one. */
  readonly version: number | null
  readonly error: DatasetError | null
}

export interface NewDataset {
  readonly id: string
  readonly name: string
  readonly strict: boolean
  /** With an archive the dataset is importing; without one it is ready and empty. */
  readonly hasArchive: boolean
  /** Key that makes it; null without keys. */
  readonly owner: string | null
}

/** @throws ServiceError DATASET_NAME_TAKEN */
export async function createDataset(
  trx: CatalogTransaction,
  { id, name, strict, hasArchive, owner }: NewDataset,
  now = new Date()
): Promise<DatasetRow> {
  await assertNameIsFree(trx, name)
  return trx
    .insertInto('datasets')
    .values({
      id,
      name,
      status: hasArchive ? 'importing' : 'ready',
      version: null,
      created_at: now.toISOString(),
      strict: strict ? 1 : 0,
      dispatch: 1,
      crashes: 0,
      report: null,
      error: null,
      owner
    })
    .returningAll()
    .executeTakeFirstOrThrow()
}

/**
 * A name may look like an id, but not be one: paths take either.
 *
 * @throws ServiceError DATASET_NAME_TAKEN
 */
export async function assertNameIsFree(db: Reader, name: string): Promise<void> {
  const taken = await find(db, name)
  if (taken === undefined) return
  throw new ServiceError('DATASET_NAME_TAKEN', {
    detail: `Cannot create the dataset: ${taken.id} goes by this name, received ${JSON.stringify(name)}`
  })
}

/** A dataset by its id or its name, as jobs name it. */
export async function findDataset(db: Reader, nameOrId: string): Promise<FoundDataset | undefined> {
  const row = await find(db, nameOrId)
  if (row === undefined) return undefined
  const { id, name, status, version } = row
  return { id, name, status, version, error: errorOf(row) }
}

/** @throws ServiceError DATASET_NOT_FOUND */
export async function getDataset(db: Reader, nameOrId: string): Promise<DatasetRow> {
  const row = await find(db, nameOrId)
  if (row !== undefined) return row
  throw new ServiceError('DATASET_NOT_FOUND', {
    detail: `Cannot find the dataset: received ${JSON.stringify(nameOrId.slice(0, 100))}`
  })
}

/** Why an import failed; null unless it did. */
export function errorOf({ error }: Pick<DatasetRow, 'error'>): DatasetError | null {
  return error === null ? null : (JSON.parse(error) as DatasetError)
}

/** A page of datasets, newest first. */
export async function listDatasets(
  db: Catalog,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined }
): Promise<{ readonly rows: DatasetRow[]; readonly next: string | null }> {
  let query = db.selectFrom('datasets').selectAll().orderBy('id', 'desc')
  if (cursor !== undefined) query = query.where('id', '<', cursor)
  const found = await query.limit(limit + 1).execute()
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null }
}

/** What is known of a version; undefined when there is none. */
export async function versionFacts(
  db: Reader,
  dataset: string,
  version: number
): Promise<(VersionFacts & Sides) | undefined> {
  const row = await db
    .selectFrom('dataset_versions')
    .select('facts')
    .where('dataset_id', '=', dataset)
    .where('version', '=', version)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const facts = JSON.parse(row.facts) as VersionFacts
  return { ...facts, width: facts.width ?? noSide, height: facts.height ?? noSide }
}

type Sides = { readonly [side in 'width' | 'height']: NonNullable<VersionFacts[side]> }
const noSide = { min: 0, median: 0, max: 0 }

export interface VersionRow {
  readonly version: number
  readonly createdAt: string
  readonly facts: VersionFacts
}

/** A page of versions, newest first, at most `limit` of those older than `before`. */
export async function listVersions(
  db: Catalog,
  dataset: string,
  { limit, before }: { readonly limit: number; readonly before: number | null }
): Promise<{ readonly rows: VersionRow[]; readonly next: number | null }> {
  const found = await db
    .selectFrom('dataset_versions')
    .selectAll()
    .where('dataset_id', '=', dataset)
    .$if(before !== null, (query) => query.where('version', '<', before))
    .orderBy('version', 'desc')
    .limit(limit + 1)
    .execute()
  const rows = found.slice(0, limit).map(({ version, created_at, facts }) => ({
    version,
    createdAt: created_at,
    facts: JSON.parse(facts) as VersionFacts
  }))
  return { rows, next: found.length > limit ? (rows.at(-1)?.version ?? null) : null }
}

export interface Manifest {
  readonly header: ManifestHeader
  /** In ascending order of SHA-256; read from the catalogue while it is consumed. */
  readonly images: AsyncIterable<ManifestImage>
}

/**
 * Everything a worker needs to know of a version. Memory does not grow with the number of images.
 *
 * @throws ServiceError DATASET_NOT_FOUND
 */
export async function datasetManifest(db: Catalog, id: string, version: number): Promise<Manifest> {
  const { name } = await getDataset(db, id)
  const facts = await versionFacts(db, id, version)
  if (facts === undefined) {
    throw new ServiceError('DATASET_NOT_FOUND', {
      detail: `Cannot find the version: ${name} has no version ${version}`
    })
  }
  const labels = facts.classes.map(({ label }) => label)
  const counts = { train: 0, validation: 0, test: 0 }
  for (const { train, validation, test } of facts.classes) {
    counts.train += train
    counts.validation += validation
    counts.test += test
  }
  const header = { id, name, version, hash: facts.hash, labels, counts }
  return { header, images: manifestImages(db, header) }
}

async function* manifestImages(
  db: Catalog,
  { id, version, labels }: ManifestHeader
): AsyncGenerator<ManifestImage> {
  const indexes = new Map(labels.map((label, i) => [label, i]))
  for await (const page of imagesOfVersion(db, id, version)) {
    for (const { sha256, label, split, bytes } of page) {
      yield { sha256, label: indexes.get(label) ?? -1, split, bytes }
    }
  }
}

/**
 * Deletes a dataset with its versions. Its image rows are left to be removed in pages.
 *
 * @throws ServiceError DATASET_NOT_FOUND; DATASET_IN_USE while a job that has not ended uses it
 */
export async function deleteDataset(db: Catalog, nameOrId: string): Promise<DatasetRow> {
  return db.transaction().execute(async (trx) => {
    const dataset = await getDataset(trx, nameOrId)
    const job = await trx
      .selectFrom('jobs')
      .select('id')
      .where('dataset_id', '=', dataset.id)
      .where('state', 'in', ['queued', 'running'])
      .executeTakeFirst()
    if (job !== undefined) {
      throw new ServiceError('DATASET_IN_USE', {
        detail: `Cannot delete the dataset: ${job.id} uses it; cancel it first`
      })
    }
    await trx.deleteFrom('datasets').where('id', '=', dataset.id).execute()
    return dataset
  })
}

async function find(db: Reader, nameOrId: string): Promise<DatasetRow | undefined> {
  return db
    .selectFrom('datasets')
    .selectAll()
    .where((eb) => eb.or([eb('id', '=', nameOrId), eb('name', '=', nameOrId)]))
    .executeTakeFirst()
}
