/**
 * Images that were predicted, kept so that feedback can add them to a dataset: only where
 * `WHITTLE_KEEP_IMAGES` asks for it, up to so many bytes; the oldest go.
 *
 * Files named by their SHA-256, and no rows: what is there is listed at the start. They may be lost, so they
 * are not flushed, and what is read is checked by its digest.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asDiskError, ServiceError } from '../errors.ts'
import type { Storage } from './storage.ts'

export interface KeptImagesOptions {
  readonly folder: string
  /** Bytes of all of them; 0 keeps none. */
  readonly maxBytes: number
  readonly storage: Pick<Storage, 'reserve' | 'removed'>
  readonly log: { warn(about: object, message: string): void }
}

export interface KeptImage {
  readonly path: string
  readonly bytes: number
}

interface Kept {
  readonly bytes: number
  /** Unix time in milliseconds of the newest prediction of it. */
  readonly at: number
}

/** Bytes that wait to be written, at most: they are held in memory. */
const mostWaiting = 64 * 2 ** 20

export class KeptImages {
  readonly #options: KeptImagesOptions
  /** By SHA-256, the one that was predicted longest ago first. */
  readonly #kept = new Map<string, Kept>()
  #bytes = 0
  readonly #waiting = new Map<string, Uint8Array>()
  #waitingBytes = 0

  private constructor(options: KeptImagesOptions) {
    this.#options = options
  }

  /** Lists what an earlier process kept; removes what it was writing, and all of it where none is kept now. */
  static async open(options: KeptImagesOptions): Promise<KeptImages> {
    const images = new KeptImages(options)
    const { folder, maxBytes } = options
    if (maxBytes === 0) {
      await rm(folder, { recursive: true, force: true })
      return images
    }
    await mkdir(folder, { recursive: true })
    const found: [sha256: string, kept: Kept][] = []
    for (const name of await readdir(folder)) {
      const { size, mtimeMs } = await stat(join(folder, name))
      if (/^[0-9a-f]{64}$/.test(name)) found.push([name, { bytes: size, at: mtimeMs }])
      else await rm(join(folder, name), { force: true })
    }
    for (const [sha256, kept] of found.sort(([, a], [, b]) => a.at - b.at))
      images.#add(sha256, kept)
    await images.#evict()
    return images
  }

  /** Keeps an image once `store` is called; none that would not fit. */
  keep(sha256: string, bytes: Uint8Array): void {
    if (bytes.length > this.#options.maxBytes || this.#waiting.has(sha256)) return
    if (this.#waitingBytes + bytes.length > mostWaiting) return
    // A small part of a large body would hold all of it in memory.
    const isPart = bytes.buffer.byteLength > 2 * bytes.length
    this.#waiting.set(sha256, isPart ? bytes.slice() : bytes)
    this.#waitingBytes += bytes.length
  }

  /** Writes what waits. What there is no room for is not kept. */
  async store(now = new Date()): Promise<void> {
    for (const [sha256, bytes] of [...this.#waiting]) {
      this.#waiting.delete(sha256)
      this.#waitingBytes -= bytes.length
      try {
        await this.#write(sha256, bytes, now)
      } catch (error) {
        const full = asDiskError(error, 'keep the image')
        if (!(full instanceof ServiceError)) throw error
        this.#options.log.warn({ sha256, reason: full.detail }, 'an image is not kept')
      }
    }
    await this.#evict()
  }

  /** An image that is kept whole, or null. */
  async find(sha256: string): Promise<KeptImage | null> {
    const kept = this.#kept.get(sha256)
    if (kept === undefined) return null
    const path = join(this.#options.folder, sha256)
    if ((await digestOf(path)) === sha256) return { path, bytes: kept.bytes }
    await this.#remove(sha256)
    return null
  }

  /** Removes what was last predicted before `before`. */
  async forget(before: Date): Promise<void> {
    for (const [sha256, { at }] of this.#kept) {
      if (at >= before.getTime()) return
      await this.#remove(sha256)
    }
  }

  async #write(sha256: string, bytes: Uint8Array, now: Date): Promise<void> {
    const path = join(this.#options.folder, sha256)
    if (!this.#kept.has(sha256)) {
      const room = await this.#options.storage.reserve('upload', bytes.length)
      try {
        await room.take(bytes.length)
        await writeFile(`${path}.part`, bytes)
        await rename(`${path}.part`, path)
      } catch (error) {
        await rm(`${path}.part`, { force: true })
        throw error
      } finally {
        room.release()
      }
    }
    // Somebody may have removed the file meanwhile; then it is listed until it is looked for.
    await utimes(path, now, now).catch(unlessGone)
    this.#add(sha256, { bytes: bytes.length, at: now.getTime() })
  }

  #add(sha256: string, kept: Kept): void {
    this.#bytes += kept.bytes - (this.#kept.get(sha256)?.bytes ?? 0)
    this.#kept.delete(sha256)
    this.#kept.set(sha256, kept)
  }

  /** Makes room where the disk is full: half of what is kept goes, the oldest first. */
  async makeRoom(): Promise<void> {
    await this.#evict(this.#bytes / 2)
  }

  async #evict(most = this.#options.maxBytes): Promise<void> {
    for (const sha256 of this.#kept.keys()) {
      if (this.#bytes <= most) return
      await this.#remove(sha256)
    }
  }

  async #remove(sha256: string): Promise<void> {
    this.#bytes -= this.#kept.get(sha256)?.bytes ?? 0
    this.#kept.delete(sha256)
    await rm(join(this.#options.folder, sha256), { force: true })
    this.#options.storage.removed()
  }
}

function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

/** Empty when the file is gone. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
  return hash.digest('hex')
}
