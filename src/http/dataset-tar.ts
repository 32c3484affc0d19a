/** Streams the images of a dataset version to a worker: a tar file with one entry per image. */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'

export interface TarEntry {
  readonly sha256: string
  readonly bytes: number
}

/**
 * Packs entries named by their SHA-256 in the order given, one file open at a time.
 *
 * An image that cannot be read destroys the stream, so the worker sees a broken download, never a
 * short tar file.
 */
export function datasetTar(
  entries: AsyncIterable<TarEntry>,
  read: (sha256: string) => Readable
): Readable {
  const tar = pack()
  fill(tar, entries, read).then(
    () => tar.finalize(),
    (error) => tar.destroy(error)
  )
  return tar as unknown as Readable
}

async function fill(
  tar: Pack,
  entries: AsyncIterable<TarEntry>,
  read: (sha256: string) => Readable
): Promise<void> {
  for await (const { sha256, bytes } of entries) {
    await pipeline(read(sha256), tar.entry({ name: sha256, size: bytes }))
  }
}
