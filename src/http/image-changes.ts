/**
 * Changes to a dataset image by image: add, relabel, remove. Each makes a new version, or none.
 *
 * Uploaded images are read by an importer process, like archives; what it found is committed here in one
 * transaction, so that two callers at once get two versions one after the other.
 */
import type { CatalogTransaction } from '../catalog/database.ts'
import {
  earlierSplits,
  endImage,
  getImage,
  imagesWithContent,
  type StoredImage,
  splitCounts
} from '../catalog/dataset-images.ts'
import { freezeVersion, insertImages } from '../catalog/dataset-versions.ts'
import { type DatasetRow, getDataset } from '../catalog/datasets.ts'
import type { AddedImages, ImportFault, SplitName } from '../contract/dataset.ts'
import type { ImportedImage, UploadedFile } from '../contract/importer.ts'
import { normaliseLabel } from '../dataset/label.ts'
import { assignSplits } from '../dataset/split.ts'
import { ServiceError } from '../errors.ts'
import type { ImageStore } from '../service/image-contents.ts'
import type { Imports } from '../service/imports.ts'
import type { Quotas } from '../service/quotas.ts'
import { adoptStaged, asRow, readStaged } from '../service/staged-images.ts'
import { versionFactsOf } from '../service/version-facts.ts'
import { imageDocument } from './dataset-document.ts'

export interface Addition {
  readonly files: readonly UploadedFile[]
  readonly label: string
  readonly split: SplitName | null
  /** An empty folder, the caller's to remove. */
  readonly staging: string
  /** Called with the answer in the transaction that makes it true. */
  readonly remember: (trx: CatalogTransaction, answer: AddedImages) => Promise<void>
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

export interface ImageChanges extends ImageStore {
  readonly imports: Pick<Imports, 'readFiles'>
  readonly quotas: Pick<Quotas, 'reserve'>
}

/**
 * Adds uploaded images under one label. Those that the dataset held before come back into their split.
 *
 * @throws ServiceError DATASET_NOT_FOUND, DATASET_NOT_READY, LABEL_INVALID, DISK_FULL, IMPORT_FAILED,
 *   QUOTA_EXCEEDED
 */
export async function addImages(
  { db, images, imports, quotas }: ImageChanges,
  nameOrId: string,
  { files, label, split, staging, remember }: Addition
): Promise<AddedImages> {
  const order = { kind: 'files', staging, files, label, split } as const
  const { report, error } = await imports.readFiles(order)
  if (error !== null) throw error
  const found = await Array.fromAsync(readStaged(staging))
  return db.transaction().execute(async (trx) => {
    const dataset = await getDataset(trx, nameOrId)
    assertReady(dataset)
    const { fresh, known, conflicts } = await compare(trx, dataset.id, found)
    const earlier = await earlierSplits(trx, dataset.id, sha256sOf(fresh))
    // What an older version holds has been counted with it.
    const unseen = fresh.filter(({ sha256 }) => !earlier.has(sha256))
    const more = unseen.reduce((sum, { bytes }) => sum + bytes, 0)
    await quotas.reserve(trx, dataset, { more })
    await adoptStaged(images, staging, fresh)
    await images.flush()
    const { added, version } = await addFresh(trx, dataset, { fresh, earlier })
    const answer = {
      added: added.length,
      duplicates: (report?.duplicates ?? 0) + known,
      faults: [...(report?.faults ?? []), ...conflicts],
      version,
      images: added.map(imageDocument)
    }
    await remember(trx, answer)
    return answer
  })
}

/** Which images are new, which are there already, and which are there under another label. */
async function compare(trx: CatalogTransaction, dataset: string, found: readonly ImportedImage[]) {
  const present = await imagesWithContent(trx, dataset, sha256sOf(found))
  const held = new Map(present.map((image) => [image.sha256, image]))
  const fresh = found.filter(({ sha256 }) => !held.has(sha256))
  const conflicts = found.flatMap((image) => conflict(image, held.get(image.sha256)))
  return { fresh, known: found.length - fresh.length - conflicts.length, conflicts }
}

type Splits = ReadonlyMap<string, SplitName>

const sha256sOf = (images: readonly ImportedImage[]): string[] => images.map(({ sha256 }) => sha256)

async function addFresh(
  trx: CatalogTransaction,
  dataset: DatasetRow,
  { fresh, earlier }: { readonly fresh: readonly ImportedImage[]; readonly earlier: Splits }
) {
  const label = fresh[0]?.label
  if (label === undefined) return { added: [], version: dataset.version }
  const version = (dataset.version ?? 0) + 1
  const given = fresh.map(({ sha256, split }) => ({ sha256, split: earlier.get(sha256) ?? split }))
  const existing = await splitCounts(trx, dataset.id, label)
  const splits = assignSplits(given, { existing })
  const added = fresh.map((image) =>
    asRow(dataset.id, { ...image, split: splits.get(image.sha256) ?? 'train' }, version)
  )
  await insertImages(trx, added)
  await freeze(trx, dataset, version)
  return { added, version }
}

/** The same bytes under another label would teach both. What is there stays. */
function conflict(image: ImportedImage, held: StoredImage | undefined): ImportFault[] {
  if (held === undefined || held.label === image.label) return []
  const detail = `Cannot add the image: ${held.id} has the same bytes under ${JSON.stringify(held.label)}, received ${JSON.stringify(image.label)}`
  return [{ file: image.sha256, code: 'IMAGE_LABEL_CONFLICT', detail }]
}

/** Gives an image another label. Its split stays: an image never moves. */
export async function relabelImage(
  { db }: Pick<ImageStore, 'db'>,
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
  { db }: Pick<ImageStore, 'db'>,
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
