/** Copies blobs from a store that another process may be writing to, verifying every one. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { type Blobs, blobFile } from '../blob/blobs.ts'
import { inParallel } from '../dataset/in-parallel.ts'
import { ServiceError } from '../errors.ts'

const copiesAtOnce = 8

export interface CopiedBlobs {
  /** Of everything that is there now. */
  readonly bytes: number
  /** Contents that the source does not have. */
  readonly missing: readonly string[]
  /** Contents whose bytes are not what their name says. */
  readonly damaged: readonly string[]
}

export interface CopyOptions {
  /** Folder of the store; only read, so its owner may go on. */
  readonly from: string
  readonly to: Blobs
  readonly contents: readonly string[]
  /** Whether what lies in `to` already was written whole a moment ago; else it is verified as well. */
  readonly isTrusted: boolean
}

/** Copies what `to` does not have. What it has with other bytes is removed, replaced or not. */
export async function copyBlobs(options: CopyOptions): Promise<CopiedBlobs> {
  const { from, to, contents, isTrusted } = options
  let bytes = 0
  const missing: string[] = []
  const damaged: string[] = []
  await inParallel(one(contents), copiesAtOnce, async (sha256) => {
    const known = await to.size(sha256)
    if (known !== null && (isTrusted || (await isWhole(to, sha256)))) {
      bytes += known
      return
    }
    if (known !== null) await to.delete(sha256)
    try {
      // Opened first: a stream of a missing file could fail before anybody listens to it.
      const source = await open(blobFile(from, sha256))
      const put = to.put(source.createReadStream(), { expectSha256: sha256 })
      const stored = await put.finally(() => source.close())
      bytes += stored.bytes
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') missing.push(sha256)
      else if (isMismatch(error)) damaged.push(sha256)
      else throw error
    }
  })
  return { bytes, missing, damaged }
}

async function isWhole(store: Blobs, sha256: string): Promise<boolean> {
  const hash = createHash('sha256')
  for await (const chunk of store.read(sha256)) hash.update(chunk)
  return hash.digest('hex') === sha256
}

async function* one(contents: readonly string[]): AsyncGenerator<string> {
  yield* contents
}

const isMismatch = (error: unknown): boolean =>
  error instanceof ServiceError && error.code === 'REQUEST_MALFORMED'
