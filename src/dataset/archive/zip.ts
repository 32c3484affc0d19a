/**
 * Zip archives, entry by entry, by the central directory.
 *
 * yauzl reads lazily and checks sizes; names are decoded here, because its own check ends the whole
 * archive at the first bad name. CRCs, which yauzl leaves alone, are checked while reading.
 */
import { isUtf8 } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from 'yauzl'
import { ServiceError } from '../../errors.ts'
import type { ArchiveEntry } from './entry.ts'

type OnBytes = (produced: number) => void

/** @throws ServiceError ARCHIVE_UNREADABLE when the directory is missing, damaged or cut off. */
export async function* zipEntries(file: string, onBytes: OnBytes): AsyncGenerator<ArchiveEntry> {
  let zip: ZipFile | undefined
  try {
    zip = await openPromise(file, { lazyEntries: true, decodeStrings: false, autoClose: false })
    for await (const entry of zip.eachEntry()) yield asEntry(zip, entry, onBytes)
  } catch (error) {
    throw unreadable(error)
  } finally {
    zip?.close()
  }
}

function asEntry(zip: ZipFile, entry: Entry, onBytes: OnBytes): ArchiveEntry {
  // Finder writes UTF-8 without the flag that says so (APPNOTE appendix D, bit 11).
  const flags = entry.generalPurposeBitFlag | (isUtf8(entry.fileNameRaw) ? 0x800 : 0)
  const name = getFileNameLowLevel(flags, entry.fileNameRaw, entry.extraFields, false)
  return { name, kind: kindOf(entry, name), read: () => read(zip, entry, onBytes) }
}

/** The upper half of the external attributes is the Unix mode (APPNOTE 4.4.15) when made on Unix. */
function kindOf(entry: Entry, name: string): ArchiveEntry['kind'] {
  const type = (entry.externalFileAttributes >>> 16) & 0o170000
  if (type === 0o120000) return 'link'
  if (type !== 0 && type !== 0o100000 && type !== 0o040000) return 'device'
  return name.endsWith('/') || name.endsWith('\\') ? 'folder' : 'file'
}

async function* read(zip: ZipFile, entry: Entry, onBytes: OnBytes): AsyncGenerator<Uint8Array> {
  if (entry.isEncrypted()) throw invalid('it is encrypted')
  if (!entry.canDecodeFileData()) {
    throw invalid(`it must be stored or deflated`, `method ${entry.compressionMethod}`)
  }
  let sum = 0
  try {
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      onBytes(chunk.length)
      sum = crc32(chunk, sum)
      yield chunk
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    throw invalid(error instanceof Error ? error.message : String(error))
  }
  if (sum !== entry.crc32) {
    throw invalid('its bytes do not have the CRC that the archive states', sum.toString(16))
  }
}

const invalid = (reason: string, received?: string) =>
  new ServiceError('ARCHIVE_ENTRY_INVALID', {
    detail: `Cannot read the entry: ${reason}${received === undefined ? '' : `, received ${received}`}`
  })

function unreadable(error: unknown): unknown {
  if (error instanceof ServiceError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new ServiceError('ARCHIVE_UNREADABLE', {
    detail: `Cannot read the zip archive: ${reason}`,
    cause: error
  })
}
