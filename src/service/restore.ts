/**
 * Brings a backup back into a data folder without a catalogue.
 *
 * The catalogue comes last and by one rename: a restore that is cut off leaves a folder without one,
 * into which the same backup can be restored again. The folder may be what is left of a damaged one, so
 * nothing that lies there is trusted.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import Value from 'typebox/value'
import { openBlobs } from '../blob/blobs.ts'
import { flushFolder } from '../blob/flush-folder.ts'
import { openCatalog } from '../catalog/open.ts'
import { forgetHolders, referencedBy } from '../catalog/snapshot.ts'
import { backupFormat, backupNote, catalogueFile, copyIfAny, secretFile } from './backup.ts'
import { copyBlobs } from './copy-blobs.ts'

const Note = Type.Object({
  format: Type.Literal(backupFormat),
  createdAt: Type.String(),
  damaged: Type.Array(Type.String())
})

export interface Restored {
  readonly createdAt: string
  readonly files: number
  readonly bytes: number
  /** Files that the backup itself says it could not hold. */
  readonly damaged: readonly string[]
}

/**
 * Restores the backup `from` into `dataDir`, which the caller has locked.
 *
 * @throws Error when `from` is no complete backup, or `dataDir` holds a catalogue already
 */
export async function restore({
  from,
  dataDir
}: {
  readonly from: string
  readonly dataDir: string
}): Promise<Restored> {
  const note = await readNote(from)
  const target = join(dataDir, catalogueFile)
  if (existsSync(target)) {
    throw new Error(`Cannot restore into ${dataDir}: it holds a catalogue; choose an empty folder`)
  }
  const wanted = referencedBy(join(from, catalogueFile))
  let files = 0
  let bytes = 0
  for (const kind of ['images', 'blobs'] as const) {
    const to = await openBlobs(join(dataDir, kind))
    const contents = wanted[kind]
    const copied = await copyBlobs({ from: join(from, kind), to, contents, isTrusted: false })
    const lost = [...copied.missing, ...copied.damaged].map((sha256) => `${kind}/${sha256}`)
    refuse(from, lost, note.damaged)
    files += contents.length - lost.length
    bytes += copied.bytes
  }
  await mkdir(join(dataDir, 'uploads'), { recursive: true })
  for (const name of wanted.uploads) {
    const file = join('uploads', name)
    if (!(await copyIfAny(join(from, file), join(dataDir, file)))) refuse(from, [file], [])
    files += 1
  }
  await settleCatalogue(from, dataDir)
  return { createdAt: note.createdAt, files, bytes, damaged: note.damaged }
}

async function readNote(from: string): Promise<Static<typeof Note>> {
  const found = await readdir(from).catch((cause) => {
    throw new Error(`Cannot read ${from}: ${cause.message}`, { cause })
  })
  if (!found.includes(backupNote)) {
    throw new Error(`Cannot restore ${from}: it holds no ${backupNote}, so it is no (whole) backup`)
  }
  const text = await readFile(join(from, backupNote), 'utf8')
  const note: unknown = JSON.parse(text)
  if (Value.Check(Note, note)) return note
  throw new Error(`Cannot restore ${from}: its ${backupNote} says ${text.slice(0, 200)}`)
}

function refuse(from: string, lost: readonly string[], known: readonly string[]): void {
  const unknown = lost.filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  const rest = unknown.length > 1 ? ` and ${unknown.length - 1} more` : ''
  throw new Error(`Cannot restore ${from}: ${unknown[0]}${rest} is missing or damaged in it`)
}

/** Brings the catalogue up to date beside its place, then puts it there. */
async function settleCatalogue(from: string, dataDir: string): Promise<void> {
  const folder = join(dataDir, 'catalog')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const staged = join(folder, 'restored.sqlite')
  await rm(staged, { force: true })
  await removeCompanions(staged)
  await copyIfAny(join(from, catalogueFile), staged)
  const catalog = await openCatalog(staged)
  await forgetHolders(catalog)
  await catalog.destroy()
  // Closing brings the log into the file and removes it, unless the disk is full.
  if (existsSync(`${staged}-wal`)) throw new Error(`Cannot write the catalogue of ${dataDir}`)
  await copyIfAny(join(from, secretFile), join(dataDir, secretFile))
  const target = join(dataDir, catalogueFile)
  await removeCompanions(target)
  await flushFolder(folder)
  await rename(staged, target)
  await flushFolder(folder)
}

/**
 * Removes what SQLite keeps beside a database (sqlite.org/tempfiles.html, section 2): it would replay the
 * log of the one that was here into the one that comes.
 */
async function removeCompanions(database: string): Promise<void> {
  for (const end of ['-wal', '-shm', '-journal']) await rm(database + end, { force: true })
}
