/**
 * Entries to staged images: every file is read with its limit, hashed, decoded once and written under
 * its digest. What is wrong with one file becomes a fault; what is wrong with the archive is thrown.
 */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asDiskError, type ErrorCode, ServiceError } from '../errors.ts'
import { inspect } from '../image/inspect.ts'
import type { ArchiveEntry } from './archive/entry.ts'
import { entryPath, isClutter } from './archive/entry-path.ts'
import type { ImportTable } from './import-table.ts'
import { inParallel } from './in-parallel.ts'
import type { ImportLimits } from './limits.ts'

/** Few, because one image may take 200 MB while it is decoded. */
const decodesAtOnce = 4

export interface FoundManifest {
  /** Folder of the manifest within the archive, as segments. */
  readonly folder: readonly string[]
  readonly format: 'csv' | 'jsonl'
  readonly bytes: Uint8Array
}

export interface ReadResult {
  /** Files that were looked at. */
  readonly read: number
  /** Files that gave a fault. */
  readonly skipped: number
  readonly manifests: readonly FoundManifest[]
}

interface ReadOptions {
  readonly table: ImportTable
  /** Folder for the images, by digest. */
  readonly files: string
  readonly limits: ImportLimits
  /** Whether names mean something: folders, hidden files, manifests. */
  readonly named: boolean
}

interface ReadFile {
  readonly seq: number
  readonly segments: readonly string[]
  readonly bytes: Uint8Array
}

/** @throws ServiceError ARCHIVE_UNREADABLE, ARCHIVE_LIMIT, DISK_FULL. */
export async function readEntries(
  entries: AsyncIterable<ArchiveEntry>,
  options: ReadOptions
): Promise<ReadResult> {
  const { table, files, limits, named } = options
  const manifests: FoundManifest[] = []
  const faulty = new Set<number>()
  let read = 0
  const fail = (seq: number, file: string, error: unknown) => {
    const { code, detail } = asFault(error)
    faulty.add(seq)
    table.addFault({ seq, file, code, detail })
  }
  async function* wanted(): AsyncGenerator<ReadFile> {
    for await (const entry of entries) {
      if (entry.kind === 'folder') continue
      const seq = read
      try {
        const segments = named ? entryPath(entry.name, limits) : [entry.name]
        if (named && (segments.length === 0 || isClutter(segments))) continue
        read++
        const bytes = await readEntry(entry, limits)
        const manifest = named ? asManifest(segments, bytes) : null
        if (manifest === null) yield { seq, segments, bytes }
        else {
          manifests.push(manifest)
          read--
        }
      } catch (error) {
        read = seq + 1
        fail(seq, entry.name, error)
      }
    }
  }
  await inParallel(wanted(), decodesAtOnce, async ({ seq, segments, bytes }) => {
    const path = segments.join('/')
    try {
      const facts = await inspect(bytes)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      await stage(join(files, sha256), bytes)
      table.add({ ...facts, seq, path, sha256, bytes: bytes.length })
    } catch (error) {
      fail(seq, path, error)
    }
  })
  return { read, skipped: faulty.size, manifests }
}

/** Reads to the end even what is too long, because a tar cannot be left in the middle of an entry. */
async function readEntry(entry: ArchiveEntry, limits: ImportLimits): Promise<Uint8Array> {
  if (entry.kind !== 'file') throw noFile(entry.kind)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of entry.read()) {
    length += chunk.length
    if (length <= limits.entryBytes) chunks.push(chunk)
    else chunks.length = 0
  }
  if (length <= limits.entryBytes) return Buffer.concat(chunks)
  throw new ServiceError('ARCHIVE_ENTRY_INVALID', {
    detail: `Cannot use the entry: at most ${limits.entryBytes} bytes are allowed, received ${length}`
  })
}

/** A manifest lies at the top or in the one folder that holds everything. */
function asManifest(segments: readonly string[], bytes: Uint8Array): FoundManifest | null {
  const match = /^manifest\.(csv|jsonl)$/i.exec(segments.at(-1) ?? '')
  if (match === null || segments.length > 2) return null
  const format = match[1]?.toLowerCase() === 'csv' ? 'csv' : 'jsonl'
  return { folder: segments.slice(0, -1), format, bytes }
}

/**
 * Equal bytes under one name: whoever comes second finds it done. Flushed, since the api only moves the
 * file and then says that it has it; beside decoding, that costs about a tenth of a millisecond.
 */
async function stage(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(file, bytes, { flag: 'wx', flush: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw asDiskError(error, 'store the image')
  }
}

/** The codes that concern the whole archive, or the machine; all others are faults of one file. */
const fatal: readonly ErrorCode[] = ['ARCHIVE_UNREADABLE', 'ARCHIVE_LIMIT', 'DISK_FULL']

function asFault(error: unknown): ServiceError {
  if (!(error instanceof ServiceError) || fatal.includes(error.code)) throw error
  return error
}

const noFile = (kind: ArchiveEntry['kind']) =>
  new ServiceError('ARCHIVE_ENTRY_INVALID', {
    detail: `Cannot use the entry: it must be a file, received a ${kind === 'link' ? 'link' : 'device or other special file'}`
  })
