/** Writes bytes into a new file, counting, hashing and flushing them. */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { ServiceError } from '../errors.ts'

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
  /** Asked before each piece is written; what it throws ends the writing. */
  readonly admit?: (bytes: number) => Promise<void>
}

/** @throws ServiceError REQUEST_TOO_LARGE, REQUEST_MALFORMED. The file is the caller's to remove. */
export async function writeBlob(
  file: string,
  data: AsyncIterable<Uint8Array> | Uint8Array,
  { expectSha256, maxBytes = Number.POSITIVE_INFINITY, admit = async () => {} }: PutOptions
): Promise<StoredBlob> {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await open(file, 'wx')
  try {
    for await (const chunk of data instanceof Uint8Array ? [data] : data) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      await admit(chunk.length)
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
async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
}

const tooLarge = (maxBytes: number) =>
  new ServiceError('REQUEST_TOO_LARGE', {
    detail: `Cannot store the file: at most ${maxBytes} bytes are allowed, received more`
  })

const mismatch = (expected: string, actual: string) =>
  new ServiceError('REQUEST_MALFORMED', {
    detail: `Cannot store the file: its SHA-256 must be ${expected}, received ${actual}`
  })
