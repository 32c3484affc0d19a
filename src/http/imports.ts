/**
 * Runs imports to their end: archives from the queue, single images at once, one writer per dataset.
 *
 * The importer process reads what is hostile and leaves a staging folder; here its list is checked line
 * by line, its files are adopted and its rows committed. What a crash leaves half-done is discarded and
 * run again, three times at most.
 */
import { createReadStream } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import Value from 'typebox/value'
import { flushFolder } from '../blob/flush-folder.ts'
import {
  failImport,
  findImporting,
  freezeVersion,
  type ImageRow,
  insertImages,
  redispatchImport
} from '../catalog/dataset-versions.ts'
import { type DatasetRow, findDataset, getDataset } from '../catalog/datasets.ts'
import { newId } from '../catalog/id.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ImportReport } from '../contract/dataset.ts'
import { ImportedImage, type ImportOrder } from '../contract/importer.ts'
import { stagedFile, stagedImages } from '../dataset/import.ts'
import type { ImportLimits } from '../dataset/limits.ts'
import { type ImporterResult, runImporter } from '../dataset/run-importer.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import type { Dispatch } from '../queue/names.ts'
import { type ImageStore, purgeGone, purgeImages } from './image-contents.ts'
import { Turns } from './turns.ts'
import { versionFactsOf } from './version-facts.ts'

export interface ImportsOptions extends ImageStore {
  readonly dataDir: string
  /** @default importLimits */
  readonly limits?: ImportLimits
  /** Puts dispatch `n` of an import into the queue. May fail; adding twice is harmless. */
  readonly dispatch: (id: string, n: number) => Promise<void>
  readonly log: FastifyBaseLogger
  /** Told when an import has ended, well or not. */
  readonly onSettled?: (dataset: string) => void
}

export interface Imports {
  /** Removes what a killed process left behind. To be called once, before requests are answered. */
  tidy(): Promise<void>
  /** Where the archive of a dataset lies until its import has ended. */
  archiveOf(dataset: string): string
  /** Moves an uploaded archive to that place, durably. */
  keepArchive(dataset: string, file: string): Promise<void>
  /** A new, empty folder below the data directory; whoever asks for it removes it. */
  staging(): Promise<string>
  /** Hands an import over. Never fails: what the queue does not take now, it gets later. */
  dispatch(dataset: string, n: number): Promise<void>
  /** Runs one dispatch to its end. Never throws. */
  run(dispatch: Dispatch, signal: AbortSignal): Promise<void>
  /** Has an importer process read uploaded images; few at a time, the others wait. */
  readFiles(order: ImportOrder): Promise<ImporterResult>
  /** Clears up after a dataset that was deleted: its running import, its archive, its images. */
  forget(dataset: string): Promise<void>
  /** Hands over every import that is not running here, and finishes deletions that broke off. */
  reconcile(): Promise<void>
  /** Ends what is running; it is run again at the next start. */
  close(): Promise<void>
}

const mostCrashes = 3
/** Moved and written in one transaction, which keeps requests waiting for some ten milliseconds. */
const imagesAtOnce = 200

export function createImports(options: ImportsOptions): Imports {
  const { db, dataDir, limits, log, onSettled = () => {} } = options
  const running = new Map<
    string,
    { readonly abort: AbortController; readonly done: Promise<void> }
  >()
  const uploads = join(dataDir, 'uploads')
  const archiveOf = (dataset: string) => join(uploads, dataset)
  const readers = new Turns(availableParallelism())
  let closing = false
  let adopted = false

  const hand = async (id: string, n: number): Promise<void> => {
    try {
      await options.dispatch(id, n)
    } catch (error) {
      log.warn({ err: error, datasetId: id }, 'import postponed')
    }
  }
  const attempt = async (dataset: DatasetRow, signal: AbortSignal): Promise<void> => {
    try {
      await importArchive(options, { dataset, archive: archiveOf(dataset.id), signal })
    } catch (error) {
      if (signal.aborted) return
      const again = await afterCrash(options, dataset, error)
      if (again !== undefined) return hand(dataset.id, again)
    }
    await rm(archiveOf(dataset.id), { force: true })
    onSettled(dataset.id)
  }
  return {
    async tidy() {
      await rm(join(dataDir, 'imports'), { recursive: true, force: true })
      await mkdir(uploads, { recursive: true })
      const wanted = new Set((await findImporting(db)).map(({ id }) => id))
      for (const name of await readdir(uploads)) {
        if (!wanted.has(name)) await rm(join(uploads, name), { recursive: true })
      }
    },
    archiveOf,
    async keepArchive(dataset, file) {
      await mkdir(uploads, { recursive: true })
      await rename(file, archiveOf(dataset))
      await flushFolder(uploads)
    },
    readFiles: (order) => readers.run(() => runImporter(order, { ...(limits && { limits }) })),
    staging: () => newStaging(dataDir),
    dispatch: hand,
    async run({ id, dispatch }, lost) {
      const dataset = closing ? undefined : await findImportable(db, id, dispatch)
      if (dataset === undefined || running.has(id)) return
      const abort = new AbortController()
      const signal = AbortSignal.any([abort.signal, lost])
      const done = attempt(dataset, signal).catch((error) => {
        log.error({ err: error, datasetId: id }, 'import ended without a result')
      })
      running.set(id, { abort, done })
      await done.finally(() => running.delete(id))
    },
    async forget(dataset) {
      const current = running.get(dataset)
      current?.abort.abort(new Error('the dataset was deleted'))
      await current?.done
      await rm(archiveOf(dataset), { force: true })
      await purgeImages(options, dataset)
    },
    async reconcile() {
      await purgeGone(options)
      for (const { id, dispatch } of await findImporting(db)) {
        if (running.has(id) || closing) continue
        // A dispatch of an earlier process may be stuck in Redis under its lock; a new number is not.
        const fresh = adopted ? undefined : await redispatchImport(db, id, { crashed: false })
        await hand(id, fresh?.dispatch ?? dispatch)
      }
      adopted = true
    },
    async close() {
      closing = true
      for (const { abort } of running.values()) abort.abort(new Error('the api is shutting down'))
      await Promise.all([...running.values()].map(({ done }) => done))
    }
  }
}

/** New each time: the importer of a killed process may not have noticed yet, and still write. */
async function newStaging(dataDir: string): Promise<string> {
  const folder = join(dataDir, 'imports', newId('ds'))
  await mkdir(folder, { recursive: true })
  return folder
}

async function findImportable(
  db: Catalog,
  id: string,
  dispatch: number
): Promise<DatasetRow | undefined> {
  const found = await findDataset(db, id)
  if (found?.status !== 'importing') return undefined
  const row = await getDataset(db, found.id)
  return row.dispatch === dispatch ? row : undefined
}

/** The number of the next dispatch, or undefined when the import has failed for good. */
async function afterCrash(
  { db, log }: ImportsOptions,
  { id, name }: DatasetRow,
  thrown: unknown
): Promise<number | undefined> {
  const error = asDiskError(thrown, 'import the images')
  log.error({ err: error, datasetId: id }, 'import crashed')
  const next = await redispatchImport(db, id, { crashed: true })
  if (next === undefined) return undefined
  const known = error instanceof ServiceError && error.code !== 'IMPORT_FAILED' ? error : undefined
  if (known === undefined && next.crashes < mostCrashes) return next.dispatch
  const { code, detail } =
    known ??
    new ServiceError('IMPORT_FAILED', {
      detail: `Cannot import ${name}: the importer ended unexpectedly ${next.crashes} times; the last time: ${error instanceof Error ? error.message : error}`
    })
  await failImport(db, id, { error: { code, detail }, report: null })
  return undefined
}

interface ArchiveImport {
  readonly dataset: DatasetRow
  readonly archive: string
  readonly signal: AbortSignal
}

async function importArchive(
  options: ImportsOptions,
  { dataset, archive, signal }: ArchiveImport
): Promise<void> {
  const { db, dataDir, limits } = options
  const staging = await newStaging(dataDir)
  try {
    // What an attempt before this one had committed of its rows.
    await purgeImages(options, dataset.id)
    const strict = dataset.strict === 1
    const order = { kind: 'archive', staging, archive, strict } as const
    const { report, error } = await runImporter(order, { signal, ...(limits && { limits }) })
    if (error !== null) {
      await failImport(db, dataset.id, {
        error: { code: error.code, detail: error.detail },
        report
      })
      return
    }
    if (report === null) throw new Error('the importer gave no report')
    await commit(options, { dataset, staging, report, signal })
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

interface Staged {
  readonly dataset: DatasetRow
  readonly staging: string
  readonly report: ImportReport
  readonly signal: AbortSignal
}

async function commit(
  { db, images }: ImportsOptions,
  { dataset, staging, report, signal }: Staged
): Promise<void> {
  const version = 1
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

/** To be called within the transaction that writes their rows: see `image-contents.ts`. */
export async function adoptStaged(
  images: ImageStore['images'],
  staging: string,
  found: readonly ImportedImage[]
): Promise<void> {
  for (const { sha256 } of found) await images.adopt(stagedFile(staging, sha256), sha256)
}

/** The importer has read hostile bytes: every line of its list is checked. */
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
