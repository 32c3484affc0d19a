/**
 * Copies a data folder, of a running service too. `restore.ts` brings the copy back.
 *
 * The catalogue is copied as it is at one moment, then every file that it refers to. What is removed
 * meanwhile (a checkpoint that a newer one has superseded) makes the copy incomplete; then a newer
 * catalogue is taken, for which nearly everything is there already. A backup is laid out as a data
 * folder is, so that copying is all that bringing it back takes.
 */
import { copyFile, mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Blobs, openBlobs } from '../blob/blobs.ts'
import { flushFolder } from '../blob/flush-folder.ts'
import { type Referenced, referencedBy, snapshotCatalog } from '../catalog/snapshot.ts'
import { copyBlobs } from './copy-blobs.ts'

export const backupFormat = 'whittle-backup-1'
/** Beside the files: what the backup is, written last. */
export const backupNote = 'backup.json'

export const catalogueFile = join('catalog', 'catalog.sqlite')
/** Signs webhooks; only where none was given as a setting. */
export const secretFile = join('catalog', 'webhook-secret')

export interface BackupNote {
  readonly format: typeof backupFormat
  readonly createdAt: string
  /** Of the service that made it. */
  readonly version: string
  readonly files: number
  readonly bytes: number
  /** Files whose bytes were not what their name says, as `images/<sha256>`; not in the backup. */
  readonly damaged: readonly string[]
}

/** A backup of a busy service needs a second catalogue now and then, never a tenth. */
const mostTries = 10

/**
 * Makes a backup of `dataDir` in the new folder `to`.
 *
 * @throws Error when `to` exists, when there is no catalogue, or when files vanish faster than they can be copied
 */
export async function backUp(options: {
  readonly dataDir: string
  readonly to: string
  readonly version: string
}): Promise<BackupNote> {
  const { dataDir, to, version } = options
  const staging = `${to}.partial`
  await rm(staging, { recursive: true, force: true })
  await mkdir(join(staging, 'catalog'), { recursive: true, mode: 0o700 })
  const stores = {
    blobs: await openBlobs(join(staging, 'blobs')),
    images: await openBlobs(join(staging, 'images'))
  }
  const createdAt = new Date().toISOString()
  for (let tries = 1; ; tries += 1) {
    const file = join(staging, catalogueFile)
    await rm(file, { force: true })
    await snapshotCatalog(join(dataDir, catalogueFile), file)
    const wanted = referencedBy(file)
    const copied = await copyAll({ dataDir, staging, stores, wanted })
    if (copied.missing === null) {
      const { damaged } = copied
      const note = { format: backupFormat, createdAt, version, ...copied.size, damaged } as const
      await seal({ dataDir, staging, to, note })
      return note
    }
    if (tries === mostTries) {
      throw new Error(`Cannot back up: ${copied.missing} is missing in ${dataDir}`)
    }
  }
}

interface Copied {
  readonly size: { readonly files: number; readonly bytes: number }
  readonly damaged: readonly string[]
  /** A file that is not there (any more), or null. */
  readonly missing: string | null
}

async function copyAll({
  dataDir,
  staging,
  stores,
  wanted
}: {
  readonly dataDir: string
  readonly staging: string
  readonly stores: { readonly blobs: Blobs; readonly images: Blobs }
  readonly wanted: Referenced
}): Promise<Copied> {
  let files = 0
  let bytes = 0
  const damaged: string[] = []
  for (const kind of ['images', 'blobs'] as const) {
    const from = join(dataDir, kind)
    const [to, contents] = [stores[kind], wanted[kind]]
    const result = await copyBlobs({ from, to, contents, isTrusted: true })
    if (result.missing[0] !== undefined) return failed(join(kind, result.missing[0]))
    await dropOthers(to, new Set(contents))
    damaged.push(...result.damaged.map((sha256) => `${kind}/${sha256}`))
    files += contents.length - result.damaged.length
    bytes += result.bytes
  }
  await mkdir(join(staging, 'uploads'), { recursive: true })
  for (const name of wanted.uploads) {
    const file = join('uploads', name)
    if (!(await copyIfAny(join(dataDir, file), join(staging, file)))) return failed(file)
    files += 1
  }
  return { size: { files, bytes }, damaged, missing: null }
}

const failed = (missing: string): Copied => ({ size: { files: 0, bytes: 0 }, damaged: [], missing })

/** What only an earlier try referred to. */
async function dropOthers(store: Blobs, wanted: ReadonlySet<string>): Promise<void> {
  for await (const { sha256 } of store.list()) {
    if (!wanted.has(sha256)) await store.delete(sha256)
  }
}

/** Writes the note and gives the backup its name: from here on it is one. */
async function seal({
  dataDir,
  staging,
  to,
  note
}: {
  readonly dataDir: string
  readonly staging: string
  readonly to: string
  readonly note: BackupNote
}): Promise<void> {
  await copyIfAny(join(dataDir, secretFile), join(staging, secretFile))
  await writeFile(join(staging, backupNote), `${JSON.stringify(note, null, 2)}\n`, { flush: true })
  for (const folder of ['catalog', 'uploads', '.']) await flushFolder(join(staging, folder))
  await rename(staging, to)
  await flushFolder(dirname(to))
}

/** Copies a file durably; false when there is none. */
export async function copyIfAny(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  const handle = await open(to, 'r+')
  await handle.sync()
  await handle.close()
  return true
}
