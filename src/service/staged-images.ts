/**
 * Makes what an importer process left in its staging folder part of a dataset.
 *
 * The importer has read hostile bytes: its list is checked line by line, its files are adopted under
 * their digests in the transactions that write their rows.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Value from 'typebox/value'
import { freezeVersion, type ImageRow, insertImages } from '../catalog/dataset-versions.ts'
import { type DatasetRow, getDataset } from '../catalog/datasets.ts'
import { newId } from '../catalog/id.ts'
import type { ImportReport } from '../contract/dataset.ts'
import { ImportedImage } from '../contract/importer.ts'
import { stagedFile, stagedImages } from '../dataset/import.ts'
import type { ImageStore } from './image-contents.ts'
import type { Quotas } from './quotas.ts'
import { versionFactsOf } from './version-facts.ts'

/** Moved and written in one transaction, which keeps requests waiting for some ten milliseconds. */
const imagesAtOnce = 200

export interface Staged {
  readonly dataset: DatasetRow
  readonly staging: string
  readonly report: ImportReport
  readonly signal: AbortSignal
}

/**
 * Commits an archive's images as version 1 of its dataset.
 *
 * @throws ServiceError QUOTA_EXCEEDED, before anything is moved or written
 */
export async function commitStaged(
  { db, images, quotas }: ImageStore & { readonly quotas: Pick<Quotas, 'reserve'> },
  { dataset, staging, report, signal }: Staged
): Promise<void> {
  const version = 1
  const altogether = await stagedBytes(staging)
  await db.transaction().execute((trx) => quotas.reserve(trx, dataset, { altogether }))
  let batch: ImportedImage[] = []
  const take = async () => {
    signal.throwIfAborted()
    await db.transaction().execute(async (trx) => {
      await adoptStaged(images, staging, batch)
      const rows = batch.map((image) =>
        asRow(dataset.id, { ...image, split: image.split ?? 'train' }, version)
      )
      await insertImages(trx, rows)
    })
    batch = []
    await nextTurn()
  }
  for await (const image of readStaged(staging)) {
    batch.push(image)
    if (batch.length === imagesAtOnce) await take()
  }
  await take()
  await images.flush()
  const facts = await versionFactsOf(db, dataset.id, version)
  signal.throwIfAborted()
  await db.transaction().execute(async (trx) => {
    await getDataset(trx, dataset.id)
    await freezeVersion(trx, dataset, { version, facts, report })
  })
}

async function stagedBytes(staging: string): Promise<number> {
  let sum = 0
  for await (const { bytes } of readStaged(staging)) sum += bytes
  return sum
}

/** To be called within the transaction that writes their rows: see `image-contents.ts`. */
export async function adoptStaged(
  images: ImageStore['images'],
  staging: string,
  found: readonly ImportedImage[]
): Promise<void> {
  for (const { sha256 } of found) await images.adopt(stagedFile(staging, sha256), sha256)
}

/** @throws Error when a line of the list is not what an importer writes */
export async function* readStaged(staging: string): AsyncGenerator<ImportedImage> {
  const lines = createInterface({ input: createReadStream(stagedImages(staging)) })
  for await (const line of lines) {
    const image: unknown = JSON.parse(line)
    if (!Value.Check(ImportedImage, image)) {
      throw new Error(`The importer's list is damaged: ${line.slice(0, 200)}`)
    }
    yield image
  }
}

type Placed = ImportedImage & { readonly split: NonNullable<ImportedImage['split']> }

/** The row of an image that is new in `version`. */
export function asRow(dataset: string, image: Placed, version: number): ImageRow {
  const { sha256, label, split, width, height, bytes, format, grey } = image
  return {
    id: newId('img'),
    dataset_id: dataset,
    sha256,
    label,
    split,
    width,
    height,
    bytes,
    format,
    grey: grey ? 1 : 0,
    from_version: version,
    to_version: null
  }
}
