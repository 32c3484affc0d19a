/**
 * Runs imports to their end: archives from the queue, single images at once, one writer per dataset.
 *
 * The importer process reads what is hostile and leaves a staging folder, which `staged-images.ts`
 * commits. What a crash leaves half-done is discarded and run again, three times at most. An import for
 * which the disk has no room has been accepted all the same: it is tried again and again.
 */
import { mkdir, rm, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { BaseLogger } from 'pino'
import { failImport, findImporting, redispatchImport } from '../catalog/dataset-versions.ts'
import { type DatasetRow, findDataset, getDataset } from '../catalog/datasets.ts'
import { newId } from '../catalog/id.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ImportOrder } from '../contract/importer.ts'
import { type ImportLimits, importLimits } from '../dataset/limits.ts'
import { type ImporterResult, runImporter } from '../dataset/run-importer.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import type { Dispatch } from '../queue/names.ts'
import { createArchives } from './archives.ts'
import { type ImageStore, purgeGone, purgeImages } from './image-contents.ts'
import { Pauses } from './pauses.ts'
import type { Quotas } from './quotas.ts'
import { commitStaged } from './staged-images.ts'
import type { Storage } from './storage.ts'
import { Turns } from './turns.ts'

export interface ImportsOptions extends ImageStore {
  readonly dataDir: string
  readonly quotas: Pick<Quotas, 'reserve'>
  readonly storage: Pick<Storage, 'claim' | 'hold' | 'letGo' | 'room' | 'wasFull'>
  /** @default importLimits */
  readonly limits?: ImportLimits
  /** Puts dispatch `n` of an import into the queue. May fail; adding twice is harmless. */
  readonly dispatch: (id: string, n: number) => Promise<void>
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
  /** Told when an import has ended, well or not. */
  readonly onSettled?: (dataset: string) => void
}

export interface Imports {
  /** Removes what a killed process left behind. To be called once, before requests are answered. */
  tidy(): Promise<void>
  /** Where the archive of a dataset lies until its import has ended. */
  archiveOf(dataset: string): string
  /** Moves an uploaded archive to that place, durably. Its room is held already, by the upload. */
  keepArchive(dataset: string, file: string): Promise<void>
  /** Removes the archive of a dataset that came to nothing, and lets its room go. */
  dropArchive(dataset: string): Promise<void>
  /** What an import that was accepted waits for; undefined unless it waits for room on the disk. */
  waitsFor(dataset: string): string | undefined
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

export function createImports(options: ImportsOptions): Imports {
  const { db, dataDir, limits, log, storage, onSettled = () => {} } = options
  const running = new Map<
    string,
    { readonly abort: AbortController; readonly done: Promise<void> }
  >()
  const archives = createArchives({ dataDir, storage })
  const readers = new Turns(availableParallelism())
  const pauses = new Pauses()
  const waiting = new Map<string, string>()
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
      await importArchive(options, { dataset, archive: archives.pathOf(dataset.id), signal })
    } catch (error) {
      if (signal.aborted) return
      const again = await afterCrash(options, dataset, error)
      if (again !== undefined) return hand(dataset.id, again)
    }
    await archives.drop(dataset.id)
    pauses.forget(dataset.id)
    onSettled(dataset.id)
  }
  const ended = (id: string, thrown: unknown): void => {
    const error = asDiskError(thrown, 'import the images')
    if (!isFull(error)) {
      log.error({ err: error, datasetId: id }, 'import ended without a result')
      return
    }
    storage.wasFull()
    waiting.set(id, error.detail)
    const pauseMs = pauses.begin(id)
    log.warn({ reason: error.detail, datasetId: id, pauseMs }, 'import waits for room on the disk')
  }
  return {
    async tidy() {
      await rm(join(dataDir, 'imports'), { recursive: true, force: true })
      await archives.tidy((await findImporting(db)).map(({ id }) => id))
    },
    archiveOf: archives.pathOf,
    keepArchive: archives.keep,
    dropArchive: archives.drop,
    waitsFor: (dataset) => waiting.get(dataset),
    readFiles: (order) => readers.run(() => runImporter(order, { ...(limits && { limits }) })),
    staging: () => newStaging(dataDir),
    dispatch: hand,
    async run({ id, dispatch }, lost) {
      const dataset = closing ? undefined : await findImportable(db, id, dispatch)
      if (dataset === undefined || running.has(id) || pauses.isOn(id)) return
      waiting.delete(id)
      const abort = new AbortController()
      const signal = AbortSignal.any([abort.signal, lost])
      const done = attempt(dataset, signal).catch((error) => ended(id, error))
      running.set(id, { abort, done })
      await done.finally(() => running.delete(id))
    },
    async forget(dataset) {
      const current = running.get(dataset)
      current?.abort.abort(new Error('the dataset was deleted'))
      await current?.done
      pauses.forget(dataset)
      waiting.delete(dataset)
      await archives.drop(dataset)
      await purgeImages(options, dataset)
    },
    async reconcile() {
      await purgeGone(options)
      for (const { id, dispatch } of await findImporting(db)) {
        if (running.has(id) || pauses.isOn(id) || closing) continue
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

const isFull = (error: unknown): error is ServiceError =>
  error instanceof ServiceError && error.code === 'DISK_FULL'

/**
 * The number of the next dispatch, or undefined when the import has failed for good.
 *
 * @throws ServiceError DISK_FULL, which is no fault of the import
 */
async function afterCrash(
  { db, log }: ImportsOptions,
  { id, name }: DatasetRow,
  thrown: unknown
): Promise<number | undefined> {
  const error = asDiskError(thrown, 'import the images')
  if (isFull(error)) throw error
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

interface Staged {
  readonly staging: string
  /** What the images may take. */
  readonly roomBytes: number
}

async function importArchive(options: ImportsOptions, given: ArchiveImport): Promise<void> {
  const { dataDir, storage } = options
  // Images are stored as they were packed: they take about as much again, until the archive goes.
  const { size } = await stat(given.archive)
  const release = await storage.claim(given.dataset.id, size)
  try {
    const staging = await newStaging(dataDir)
    try {
      const roomBytes = size + (await storage.room()).room
      await importInto(options, { ...given, staging, roomBytes })
    } finally {
      await rm(staging, { recursive: true, force: true })
    }
  } finally {
    release()
  }
}

async function importInto(
  options: ImportsOptions,
  { dataset, archive, signal, staging, roomBytes }: ArchiveImport & Staged
): Promise<void> {
  const { db } = options
  const limits = { ...(options.limits ?? importLimits), roomBytes }
  // What an attempt before this one had committed of its rows.
  await purgeImages(options, dataset.id)
  const strict = dataset.strict === 1
  const order = { kind: 'archive', staging, archive, strict } as const
  const { report, error } = await runImporter(order, { signal, limits })
  if (error?.code === 'DISK_FULL') throw error
  if (error !== null) {
    const { code, detail } = error
    await failImport(db, dataset.id, { error: { code, detail }, report })
    return
  }
  if (report === null) throw new Error('the importer gave no report')
  try {
    await commitStaged(options, { dataset, staging, report, signal })
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'QUOTA_EXCEEDED') throw error
    const { code, detail } = error
    await failImport(db, dataset.id, { error: { code, detail }, report })
  }
}
