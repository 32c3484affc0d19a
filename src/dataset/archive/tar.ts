/** Tar archives, plain or gzipped, entry by entry in one pass. */
import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { extract, type Header } from 'tar-stream'
import { ServiceError } from '../../errors.ts'
import type { ArchiveEntry } from './entry.ts'

export interface TarOptions {
  readonly gzip: boolean
  /** Told of every chunk that comes out of decompression, skipped entries and padding included. */
  readonly onBytes: (produced: number) => void
}

/** @throws ServiceError ARCHIVE_UNREADABLE when it is damaged or cut off; whatever onBytes throws. */
export async function* tarEntries(file: string, options: TarOptions): AsyncGenerator<ArchiveEntry> {
  // Old tars (v7) have no `ustar` mark; their header checksum is still verified.
  const entries = extract({ allowUnknownFormat: true } as object)
  const bytes = contents(file, options)
  const fed = feed(bytes, entries)
  try {
    for await (const entry of entries) {
      yield {
        name: entry.header.name,
        kind: kindOf(entry.header),
        read: () => contentsOf(entry as AsyncIterable<Uint8Array>)
      }
      entry.resume()
    }
    await fed
  } catch (error) {
    throw unreadable(error)
  } finally {
    entries.destroy()
    await fed.catch(() => {})
  }
}

/** An archive that ends within an entry fails here, not where the next entry is asked for. */
async function* contentsOf(entry: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* entry
  } catch (error) {
    throw unreadable(error)
  }
}

async function* contents(file: string, { gzip, onBytes }: TarOptions): AsyncGenerator<Uint8Array> {
  const source = createReadStream(file)
  const gunzip = gzip ? createGunzip() : null
  if (gunzip !== null) source.on('error', (error) => gunzip.destroy(error)).pipe(gunzip)
  try {
    for await (const chunk of gunzip ?? source) {
      onBytes(chunk.length)
      yield chunk
    }
  } finally {
    source.destroy()
    gunzip?.destroy()
  }
}

type Extract = ReturnType<typeof extract>

/** Writes all chunks, waiting whenever the entries are not read as fast; destroys `to` on failure. */
async function feed(chunks: AsyncIterable<Uint8Array>, to: Extract): Promise<void> {
  try {
    for await (const chunk of chunks) {
      if (to.destroyed) return
      if (!to.write(chunk)) await drained(to)
    }
    to.end(null)
  } catch (error) {
    to.destroy(error as Error)
  }
}

const drained = (stream: Extract) =>
  new Promise<void>((resolve) => {
    // Both listeners go at once: one that stayed for each wait would add up over a long archive.
    const done = () => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })

function kindOf({ type }: Header): ArchiveEntry['kind'] {
  if (type === 'file' || type === 'contiguous-file') return 'file'
  if (type === 'directory') return 'folder'
  return type === 'link' || type === 'symlink' ? 'link' : 'device'
}

function unreadable(error: unknown): unknown {
  if (error instanceof ServiceError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new ServiceError('ARCHIVE_UNREADABLE', {
    detail: `Cannot read the tar archive: ${reason}`,
    cause: error
  })
}
