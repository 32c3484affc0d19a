/**
 * Changes to a dataset image by image: add, relabel, remove. Each makes a new version, or none.
 *
 * Uploaded images are read by an importer process, like archives; what it found is committed here in one
 * transaction, so that two callers at once get two versions one after the other.
 */
import { rm } from 'node:fs/promises'
import type { Blobs } from '../blob/blobs.ts'
import type { CatalogTransaction } from '../catalog/database.ts'
import {
  endImage,
  getImage,
  imagesWithContent,
  type StoredImage,
  splitCounts
} from '../catalog/dataset-images.ts'
import { freezeVersion, insertImages } from '../catalog/dataset-versions.ts'
import { type DatasetRow, getDataset } from '../catalog/datasets.ts'
import type { Catalog } from '../catalog/open.ts'
import type { AddedImages, ImportFault, SplitName } from '../contract/dataset.ts'
import type { ImportedImage, UploadedFile } from '../contract/importer.ts'
import { stagedFile } from '../dataset/import.ts'
import { normaliseLabel } from '../dataset/label.ts'
import { runImporter } from '../dataset/run-importer.ts'
import { assignSplits } from '../dataset/split.ts'
import { ServiceError } from '../errors.ts'
import { imageDocument } from './dataset-document.ts'
import { asRow, readStaged } from './imports.ts'
import { versionFactsOf } from './version-facts.ts'

export interface ImageStore {
  readonly db: Catalog
  /** Contents of the datasets' images. */
  readonly images: Blobs
}

export interface Addition {
  readonly files: readonly UploadedFile[]
  readonly label: string
  readonly split: SplitName | null
  /** An empty folder; removed at the end. */
  readonly staging: string
}

/** @throws ServiceError DATASET_NOT_READY unless images can be added, relabelled and removed. */
export function assertReady({ name, status }: DatasetRow): void {
  if (status === 'ready') return
  throw new ServiceError('DATASET_NOT_READY', {
    detail:
      status === 'importing'
        ? `Cannot change ${name}: its import has not ended`
        : `Cannot change ${name}: its import failed; delete it and upload it again`,
    ...(status === 'importing' ? { retryAfter: 2 } : {})
  })
}

/**
 * Adds uploaded images under one label.
 *
 * @throws ServiceError DATASET_NOT_FOUND, DATASET_NOT_READY, LABEL_INVALID, DISK_FULL, IMPORT_FAILED
 */
export async function addImages(
  { db, images }: ImageStore,
  nameOrId: string,
  { files, label, split, staging }: Addition
): Promise<AddedImages> {
  try {
    const order = { kind: 'files', staging, files, label, split } as const
    const { report, error } = await runImporter(order)
    if (error !== null) throw error
    const found = await Array.fromAsync(readStaged(staging))
    for (const { sha256 } of found) await images.adopt(stagedFile(staging, sha256), sha256)
    const { added, known, conflicts, version } = await commit(db, nameOrId, found)
    return {
      added: added.length,
      duplicates: (report?.duplicates ?? 0) + known,
      faults: [...(report?.faults ?? []), ...conflicts],
      version,
      images: added.map(imageDocument)
    }
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

async function commit(db: Catalog, nameOrId: string, found: readonly ImportedImage[]) {
  return db.transaction().execute(async (trx) => {
    const dataset = await getDataset(trx, nameOrId)
    assertReady(dataset)
    const contents = found.map(({ sha256 }) => sha256)
    const present = await imagesWithContent(trx, dataset.id, contents)
    const held = new Map(present.map((image) => [image.sha256, image]))
    const fresh = found.filter(({ sha256 }) => !held.has(sha256))
    const conflicts = found.flatMap((image) => conflict(image, held.get(image.sha256)))
    const known = found.length - fresh.length - conflicts.length
    const version = (dataset.version ?? 0) + 1
    const label = fresh[0]?.label
    if (label === undefined) return { added: [], known, conflicts, version: dataset.version }
    const existing = await splitCounts(trx, dataset.id, label)
    const splits = assignSplits(fresh, { existing })
    const rows = fresh.map((image) =>
      asRow(dataset.id, { ...image, split: splits.get(image.sha256) ?? 'train' }, version)
    )
    await insertImages(trx, rows)
    await freeze(trx, dataset, version)
    return { added: rows, known, conflicts, version }
  })
}

/** The same bytes under another label would teach both. What is there stays. */
function conflict(image: ImportedImage, held: StoredImage | undefined): ImportFault[] {
  if (held === undefined || held.label === image.label) return []
  const detail = `Cannot add the image: ${held.id} has the same bytes under ${JSON.stringify(held.label)}, received ${JSON.stringify(image.label)}`
  return [{ file: image.sha256, code: 'IMAGE_LABEL_CONFLICT', detail }]
}

/** Gives an image another label. Its split stays: an image never moves. */
export async function relabelImage(
  { db }: ImageStore,
  nameOrId: string,
  change: { readonly image: string; readonly label: string }
): Promise<StoredImage> {
  const label = normaliseLabel(change.label)
  return db.transaction().execute(async (trx) => {
    const dataset = await getDataset(trx, nameOrId)
    assertReady(dataset)
    const image = await getImage(trx, dataset, change.image)
    if (image.label === label) return image
    const version = (dataset.version ?? 0) + 1
    const renamed = { ...image, label, from_version: version, to_version: null }
    await endImage(trx, image, version)
    await insertImages(trx, [renamed])
    await freeze(trx, dataset, version)
    return renamed
  })
}

/** Takes an image out of the newest version; older versions keep it. */
export async function removeImage(
  { db }: ImageStore,
  nameOrId: string,
  imageId: string
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const dataset = await getDataset(trx, nameOrId)
    assertReady(dataset)
    const image = await getImage(trx, dataset, imageId)
    const version = (dataset.version ?? 0) + 1
    await endImage(trx, image, version)
    await freeze(trx, dataset, version)
  })
}

async function freeze(
  trx: CatalogTransaction,
  dataset: DatasetRow,
  version: number
): Promise<void> {
  const facts = await versionFactsOf(trx, dataset.id, version)
  await freezeVersion(trx, dataset, { version, facts })
}
