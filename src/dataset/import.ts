/**
 * An import from entries to a staging folder and a report. Runs in the importer process; the api looks
 * at what is left there and commits it.
 */
import { createWriteStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ImportReport } from '../contract/dataset.ts'
import type { ImportedImage, ImportOrder } from '../contract/importer.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import { openArchive } from './archive/open-archive.ts'
import { uploadedEntries } from './archive/uploaded.ts'
import {
  type ImportTable,
  type LabelledImage,
  labelsShown,
  openImportTable
} from './import-table.ts'
import { normaliseLabel } from './label.ts'
import { labelByFolders, labelByManifest, tooManyClasses } from './label-images.ts'
import { type ImportLimits, meter } from './limits.ts'
import { type ReadResult, readEntries } from './read-entries.ts'
import { ClassSplits, carvedSplits } from './split.ts'

export interface ImportResult {
  readonly report: ImportReport
  /** Why the import as a whole fails, or null. */
  readonly error: ServiceError | null
}

/** Files in a staging folder, known to importer and api. */
export const stagedImages = (staging: string) => join(staging, 'images.jsonl')
export const stagedFile = (staging: string, sha256: string) => join(staging, 'files', sha256)

/**
 * Reads what `order` names, writes images and their list into `order.staging`, and reports.
 *
 * @throws ServiceError ARCHIVE_UNREADABLE, ARCHIVE_LIMIT, MANIFEST_INVALID, LABEL_INVALID, DISK_FULL.
 */
export async function importImages(
  order: ImportOrder,
  limits: ImportLimits
): Promise<ImportResult> {
  await mkdir(join(order.staging, 'files'), { recursive: true })
  const table = openImportTable(join(order.staging, 'import.db'))
  try {
    return await (order.kind === 'archive'
      ? importArchive(table, order, limits)
      : importFiles(table, order, limits))
  } catch (error) {
    throw asDiskError(error, 'import the images')
  } finally {
    table.close()
  }
}

type Order<Kind> = Extract<ImportOrder, { kind: Kind }>

async function importArchive(
  table: ImportTable,
  { staging, archive, strict }: Order<'archive'>,
  limits: ImportLimits
): Promise<ImportResult> {
  const counted = meter(limits, (await stat(archive)).size)
  const found = await readEntries(openArchive(archive, counted), {
    table,
    files: join(staging, 'files'),
    limits,
    named: true
  })
  const unplaced = await label(table, found, limits)
  const result = settle(table, found, unplaced)
  const labels = table.labels()
  if (labels.length > limits.labels) throw tooManyClasses(limits.labels)
  const error = verdict(result, labels, strict)
  if (error === null) await writeList(staging, splitImages(table, labels))
  return { report: result, error }
}

async function importFiles(
  table: ImportTable,
  { staging, files, label, split }: Order<'files'>,
  limits: ImportLimits
): Promise<ImportResult> {
  const given = normaliseLabel(label)
  const found = await readEntries(uploadedEntries(files), {
    table,
    files: join(staging, 'files'),
    limits,
    named: false
  })
  for (const { seq } of table.images()) table.place(seq, given, split)
  const report = settle(table, found, 0)
  await writeList(staging, table.images())
  return { report, error: null }
}

async function label(table: ImportTable, { manifests }: ReadResult, limits: ImportLimits) {
  const [manifest, another] = manifests
  if (manifest === undefined) return labelByFolders(table, limits)
  if (another === undefined) return labelByManifest(table, manifest, limits)
  const names = manifests.map(({ folder, format }) => [...folder, `manifest.${format}`].join('/'))
  throw new ServiceError('MANIFEST_INVALID', {
    detail: `Cannot use the manifest: one is allowed, received ${names.join(', ')}`
  })
}

/** Leaves out contradictions and copies, and counts. */
function settle(table: ImportTable, { read, skipped }: ReadResult, unplaced: number): ImportReport {
  let conflicting = 0
  for (const { sha256, labels } of table.conflicts()) {
    const more = labels > labelsShown ? ` and ${labels - labelsShown} more` : ''
    const some = JSON.stringify(table.someLabels(sha256))
    const detail = `Cannot label the image: the same bytes were given several labels, received ${some}${more}`
    for (const image of table.bySha256(sha256)) {
      table.refuse(image, { code: 'IMAGE_LABEL_CONFLICT', detail })
      conflicting++
    }
  }
  const duplicates = table.dropDuplicates()
  return {
    read,
    kept: table.imageCount(),
    duplicates,
    skipped: skipped + unplaced + conflicting,
    faults: table.faults(),
    faultsTotal: table.faultCount()
  }
}

function verdict(report: ImportReport, labels: readonly string[], strict: boolean) {
  const { read, kept, skipped, faults, faultsTotal } = report
  const first = faults[0] === undefined ? '' : `; the first: ${faults[0].file}: ${faults[0].detail}`
  if (strict && faultsTotal > 0) {
    return new ServiceError('DATASET_FAULTY', {
      detail: `Cannot import the dataset: strict allows no fault, received ${faultsTotal}${first}`
    })
  }
  if (kept === 0) {
    return new ServiceError('DATASET_EMPTY', {
      detail: `Cannot import the dataset: no image is usable, received ${read} files, ${skipped} with faults${first}`
    })
  }
  if (labels.length === 1) {
    return new ServiceError('DATASET_SINGLE_CLASS', {
      detail: `Cannot import the dataset: two classes are needed, received ${kept} images that are all labelled ${JSON.stringify(labels[0])}${first}`
    })
  }
  return null
}

/** Class by class, each image with its final split. */
function* splitImages(table: ImportTable, labels: readonly string[]): Generator<LabelledImage> {
  const carved = carvedSplits(new Set(table.splits()))
  for (const label of labels) {
    const held = new ClassSplits(undefined, carved)
    for (const image of table.ofLabel(label)) yield { ...image, split: held.place(image.split) }
  }
}

async function writeList(staging: string, images: Iterable<LabelledImage>): Promise<void> {
  function* lines() {
    for (const image of images) yield `${JSON.stringify(asImported(image))}\n`
  }
  await pipeline(Readable.from(lines()), createWriteStream(stagedImages(staging)))
}

function asImported(image: LabelledImage): ImportedImage {
  const { sha256, label, split, width, height, bytes, format, grey } = image
  return { sha256, label, split, width, height, bytes, format, grey }
}
