/**
 * Content-addressed files: a blob's name is the SHA-256 of its bytes.
 *
 * A blob is written beside the others under a name of its own, flushed, and renamed into place, so a
 * reader sees all of it or nothing; what a killed process left behind is removed at the next open.
 */
import { randomUUID } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { asDiskError } from '../errors.ts'
import { Contents } from './contents.ts'
import { flushFolder } from './flush-folder.ts'
import { type PutOptions, type StoredBlob, writeBlob } from './write-blob.ts'

/** A part of a blob, both ends included, as in RFC 9110 section 14.1.2. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface Blobs {
  /**
   * Stores bytes. Storing what is there already is no work and no error.
   *
   * @throws ServiceError DISK_FULL; REQUEST_TOO_LARGE beyond maxBytes; REQUEST_MALFORMED when the
   *   digest is not the expected one.
   */
  put(data: AsyncIterable<Uint8Array> | Uint8Array, options?: PutOptions): Promise<StoredBlob>
  /**
   * Stores bytes as `put` does and has `refer` write the row that names them. Until that has settled
   * nothing removes them, although no row names them yet.
   */
  keep<T>(
    data: AsyncIterable<Uint8Array> | Uint8Array,
    options: PutOptions,
    refer: (stored: StoredBlob) => Promise<T>
  ): Promise<T>
  /**
   * Moves a finished file of the same file system in. The caller vouches for its name and that its
   * bytes are flushed; that it lies here is durable after `flush`.
   */
  adopt(file: string, sha256: string): Promise<void>
  /** Makes every adoption so far durable: one fsync for each of the 256 folders, not one for each blob. */
  flush(): Promise<void>
  /** Where the bytes lie. */
  path(sha256: string): string
  has(sha256: string): Promise<boolean>
  /** Bytes of a blob, or null when there is none. */
  size(sha256: string): Promise<number | null>
  /** Streams a blob or a part of it. A missing one fails the stream with ENOENT. */
  read(sha256: string, range?: ByteRange): ReadStream
  /** Removes a blob, unless its row is being written (`keep`); removing none is no error. */
  delete(sha256: string): Promise<void>
  /**
   * Removes a blob as `delete` does if it has not been stored (again) since `before`.
   *
   * @returns the bytes that it had, or null when it stays or is none
   */
  deleteOlder(sha256: string, before: Date): Promise<number | null>
  /** Every blob, in no order. */
  list(): AsyncIterable<{ readonly sha256: string; readonly modified: Date }>
}

/** Where the store in `dir` has, or would have, a blob. For who reads a store that another process writes. */
export const blobFile = (dir: string, sha256: string): string =>
  join(dir, sha256.slice(0, 2), checked(sha256))

export interface OpenOptions {
  /** Told whenever a blob has been removed. */
  readonly onRemoved?: () => void
}

/** Opens (and makes) a store in `dir`, which must have no other writer. */
export async function openBlobs(
  dir: string,
  { onRemoved = () => {} }: OpenOptions = {}
): Promise<Blobs> {
  const staging = join(dir, 'staging')
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { recursive: true })
  const contents = new Contents()
  const path = (sha256: string) => blobFile(dir, sha256)
  const size = async (sha256: string) => (await statIfAny(path(sha256)))?.size ?? null
  const settle = async (file: string, sha256: string) => {
    const made = await mkdir(join(dir, sha256.slice(0, 2)), { recursive: true })
    await contents.alone(sha256, async () => {
      await rename(file, path(sha256))
      // A sweep spares young blobs, and this one is young from now on.
      await utimes(path(sha256), new Date(), new Date())
    })
    if (made !== undefined) await flushFolder(dir)
  }
  const remove = (sha256: string, before: Date | null) =>
    contents.alone(sha256, async () => {
      if (contents.isHeld(sha256)) return null
      const found = await statIfAny(path(sha256))
      if (found === null || (before !== null && found.mtime >= before)) return null
      await rm(path(sha256), { force: true })
      onRemoved()
      return found.size
    })
  const keep: Blobs['keep'] = async (data, options, refer) => {
    const file = join(staging, randomUUID())
    let letGo = () => {}
    try {
      const stored = await writeBlob(file, data, options)
      letGo = contents.hold(stored.sha256)
      await settle(file, stored.sha256)
      await flushFolder(join(dir, stored.sha256.slice(0, 2)))
      return await refer(stored)
    } catch (error) {
      await rm(file, { force: true })
      throw asDiskError(error, 'store the file')
    } finally {
      letGo()
    }
  }
  return {
    path,
    size,
    keep,
    has: async (sha256) => (await size(sha256)) !== null,
    put: (data, options = {}) => keep(data, options, async (stored) => stored),
    async adopt(file, sha256) {
      try {
        await settle(file, sha256)
      } catch (error) {
        throw asDiskError(error, 'store the file')
      }
    },
    async flush() {
      for (const folder of await folders(dir)) await flushFolder(join(dir, folder))
    },
    read: (sha256, range) => createReadStream(path(sha256), range ?? {}),
    async delete(sha256) {
      await remove(sha256, null)
    },
    deleteOlder: remove,
    list: () => list(dir)
  }
}

const folders = async (dir: string): Promise<string[]> =>
  (await readdir(dir)).filter((name) => /^[0-9a-f]{2}$/.test(name))

async function* list(dir: string) {
  for (const folder of await folders(dir)) {
    for (const sha256 of await readdir(join(dir, folder))) {
      const found = await statIfAny(join(dir, folder, sha256))
      if (found !== null) yield { sha256, modified: found.mtime }
    }
  }
}

async function statIfAny(file: string) {
  try {
    return await stat(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** A digest is a file name here: anything else must never become part of a path. */
function checked(sha256: string): string {
  if (/^[0-9a-f]{64}$/.test(sha256)) return sha256
  throw new TypeError(`Cannot name a blob: 64 lower-case hex digits are needed, received ${sha256}`)
}
