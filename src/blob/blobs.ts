/**
 * Content-addressed files: a blob's name is the SHA-256 of its bytes.
 *
 * A blob is written beside the others under a name of its own, flushed, and renamed into place, so a
 * reader sees all of it or nothing; what a killed process left behind is removed at the next open.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { asDiskError, ServiceError } from '../errors.ts'
import { flushFolder } from './flush-folder.ts'

export interface StoredBlob {
  /** Lower-case hexadecimal. */
  readonly sha256: string
  readonly bytes: number
}

export interface PutOptions {
  /** Refuse bytes with another digest. */
  readonly expectSha256?: string
  /** Refuse more bytes than this. */
  readonly maxBytes?: number
}

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
  /** Removes a blob; removing none is no error. */
  delete(sha256: string): Promise<void>
  /** Every blob, in no order. */
  list(): AsyncIterable<{ readonly sha256: string; readonly modified: Date }>
}

/** Opens (and makes) a store in `dir`, which must have no other writer. */
export async function openBlobs(dir: string): Promise<Blobs> {
  const staging = join(dir, 'staging')
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { recursive: true })
  const path = (sha256: string) => join(dir, sha256.slice(0, 2), checked(sha256))
  const size = async (sha256: string) => (await statIfAny(path(sha256)))?.size ?? null
  const settle = async (file: string, sha256: string) => {
    const made = await mkdir(join(dir, sha256.slice(0, 2)), { recursive: true })
    await rename(file, path(sha256))
    if (made !== undefined) await flushFolder(dir)
  }
  return {
    path,
    size,
    has: async (sha256) => (await size(sha256)) !== null,
    async put(data, options = {}) {
      const file = join(staging, randomUUID())
      try {
        const stored = await write(file, data, options)
        await settle(file, stored.sha256)
        await flushFolder(join(dir, stored.sha256.slice(0, 2)))
        return stored
      } catch (error) {
        await rm(file, { force: true })
        throw asDiskError(error, 'store the file')
      }
    },
    async adopt(file, sha256) {
      try {
        await settle(file, sha256)
        // A sweep spares young blobs, and this one is young from now on.
        await utimes(path(sha256), new Date(), new Date())
      } catch (error) {
        throw asDiskError(error, 'store the file')
      }
    },
    async flush() {
      for (const folder of await folders(dir)) await flushFolder(join(dir, folder))
    },
    read: (sha256, range) => createReadStream(path(sha256), range ?? {}),
    delete: (sha256) => rm(path(sha256), { force: true }),
    list: () => list(dir)
  }
}

async function write(
  file: string,
  data: AsyncIterable<Uint8Array> | Uint8Array,
  { expectSha256, maxBytes = Number.POSITIVE_INFINITY }: PutOptions
): Promise<StoredBlob> {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await open(file, 'wx')
  try {
    for await (const chunk of data instanceof Uint8Array ? [data] : data) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      hash.update(chunk)
      await writeAll(handle, chunk)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  const sha256 = hash.digest('hex')
  if (expectSha256 !== undefined && expectSha256 !== sha256) throw mismatch(expectSha256, sha256)
  return { sha256, bytes }
}

/** A write may be short when the disk fills up; the next one then fails with ENOSPC. */
async function writeAll(handle: Awaited<ReturnType<typeof open>>, chunk: Uint8Array) {
  for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
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

const tooLarge = (maxBytes: number) =>
  new ServiceError('REQUEST_TOO_LARGE', {
    detail: `Cannot store the file: at most ${maxBytes} bytes are allowed, received more`
  })

const mismatch = (expected: string, actual: string) =>
  new ServiceError('REQUEST_MALFORMED', {
    detail: `Cannot store the file: its SHA-256 must be ${expected}, received ${actual}`
  })
