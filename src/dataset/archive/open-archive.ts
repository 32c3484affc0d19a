/** An uploaded archive as one stream of entries; its kind is told by its bytes, not by its name. */
import { open } from 'node:fs/promises'
import { constants, gunzipSync } from 'node:zlib'
import { ServiceError } from '../../errors.ts'
import { describeBytes } from '../../image/sniff.ts'
import type { Meter } from '../limits.ts'
import type { ArchiveEntry } from './entry.ts'
import { tarEntries } from './tar.ts'
import { zipEntries } from './zip.ts'

/**
 * The entries of a zip, tar or tar.gz file, in the archive's order. `meter` counts them and the bytes
 * that come out: of a zip those of the entries that are read, of a tar all, padding included.
 *
 * @throws ServiceError ARCHIVE_UNREADABLE, and ARCHIVE_LIMIT by the meter.
 */
export async function* openArchive(file: string, meter: Meter): AsyncGenerator<ArchiveEntry> {
  const head = await readHead(file)
  const what = describeBytes(head)
  const onBytes = (produced: number) => meter.bytes(produced)
  for await (const entry of entriesOf(file, { head, what, onBytes })) {
    meter.entry()
    yield entry
  }
}

interface Opening {
  readonly head: Uint8Array
  readonly what: string
  readonly onBytes: (produced: number) => void
}

function entriesOf(file: string, { head, what, onBytes }: Opening): AsyncIterable<ArchiveEntry> {
  if (what === 'a zip archive') return zipEntries(file, onBytes)
  if (what === 'gzip data') {
    const inside = firstUnzipped(head)
    if (!isTar(inside)) throw refuse(`gzip around ${describeBytes(inside)}`)
    return tarEntries(file, { gzip: true, onBytes })
  }
  if (isTar(head)) return tarEntries(file, { gzip: false, onBytes })
  throw refuse(what)
}

/** Enough for a tar header behind a gzip header with a long file name. */
const headBytes = 4096

async function readHead(file: string): Promise<Uint8Array> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** What the first bytes of a gzip file unfold to; at most about a thousand times their number. */
function firstUnzipped(head: Uint8Array): Uint8Array {
  try {
    return gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH })
  } catch (error) {
    throw refuse(`damaged gzip data (${error instanceof Error ? error.message : error})`)
  }
}

/** Whether a header block follows whose checksum is right (POSIX.1-1988), or the end of an empty tar. */
function isTar(bytes: Uint8Array): boolean {
  const block = bytes.subarray(0, 512)
  if (block.length < 512) return false
  if (block.every((byte) => byte === 0)) return true
  const stated = Number.parseInt(Buffer.from(block.subarray(148, 156)).toString('latin1'), 8)
  // The checksum counts its own field as eight spaces.
  const sum = block.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
  return stated === sum
}

const refuse = (received: string) =>
  new ServiceError('ARCHIVE_UNREADABLE', {
    detail: `Cannot read the archive: it must be zip, tar or tar.gz, received ${received}`
  })
