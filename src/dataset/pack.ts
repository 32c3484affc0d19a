/**
 * Building packs: every image of a dataset version decoded and resized once, for all epochs of all jobs.
 *
 * A pack is named by what decides about its bytes, so it is built once; it appears under its name by a
 * rename, so builders may race and a killed one leaves only a `partial-*` file. Memory does not grow
 * with the number of images, but for the four bytes of each label.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { extract } from 'tar-stream'
import type { ManifestImage } from '../contract/internal.ts'
import { asDiskError } from '../errors.ts'
import { type InputShape, preprocess, preprocessing } from '../image/preprocess.ts'
import { asDamage, DamagedDataset } from './damaged-dataset.ts'
import { inParallel } from './in-parallel.ts'
import { type Manifest, readManifest } from './manifest-file.ts'
import { openPack } from './open-pack.ts'
import { imageBytes, imageCount, type PackTrailer, packMagic, type Split } from './pack-file.ts'
import { pixelStatistics } from './pixel-statistics.ts'

export { openPack, type Pack } from './open-pack.ts'

/** Images that are decoded at a time: libuv's pool has four threads, and reading goes on meanwhile. */
const decodesAtOnce = 8

export interface BuildPackOptions extends InputShape {
  /** Tar file with one entry an image, named by SHA-256, in the manifest's order. */
  readonly tar: string
  /** File of JSON lines: ManifestHeader, then a ManifestImage per line. */
  readonly manifest: string
  /** File to make, named by `packName`; its folder is made if need be. */
  readonly out: string
  /** Told the share of images that are done, 0..1, at most once per percent. */
  readonly onProgress?: (share: number) => void
  readonly signal?: AbortSignal
}

/** File name of a pack: the digest of everything that decides about its bytes. */
export function packName({
  hash,
  size,
  channels,
  resize
}: InputShape & { /** Hash of the dataset version. */ readonly hash: string }): string {
  const parts = [packMagic.toString(), preprocessing, hash, size, channels, resize]
  return `${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}.pack`
}

/** How the names of files begin that a process is building packs in. */
export const partialOf = (pid: number): string => `partial-${pid}-`

/**
 * Builds the pack of a dataset version as `out`, for `openPack`. One that is there and whole is kept;
 * a damaged one is built anew.
 *
 * @throws ServiceError IMAGE_* for an image that no longer decodes; DISK_FULL.
 * @throws DamagedDataset when the tar does not hold what the manifest lists; the signal's reason when aborted.
 */
export async function buildPack(options: BuildPackOptions): Promise<void> {
  const { out } = options
  if (isPack(out)) return
  await mkdir(dirname(out), { recursive: true })
  const partial = join(dirname(out), `${partialOf(process.pid)}${randomUUID()}`)
  try {
    const manifest = await readManifest(options.manifest).catch((error) => {
      throw asDamage(error)
    })
    await writePack(partial, { ...options, manifest }).finally(manifest.close)
    await rename(partial, out)
  } catch (error) {
    await rm(partial, { force: true })
    throw asDiskError(error, 'build the pack')
  }
}

type Build = Omit<BuildPackOptions, 'manifest'> & { readonly manifest: Manifest }

/** A file that is no whole pack (of another form, damaged) is built anew. */
function isPack(file: string): boolean {
  try {
    openPack(file).close()
    return true
  } catch {
    return false
  }
}

async function writePack(file: string, options: Build): Promise<void> {
  const { size, channels, manifest } = options
  const { counts, labels: names } = manifest.header
  const shape = { size, channels, counts }
  const labels = Buffer.alloc(imageCount(shape) * 4)
  const handle = await open(file, 'wx')
  try {
    const statistics = await writePixels(handle, { shape, labels }, options)
    await writeEnd(handle, { ...shape, labels: names, ...statistics }, labels)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

type PackShape = Pick<PackTrailer, 'size' | 'channels' | 'counts'>

async function writePixels(
  handle: FileHandle,
  { shape, labels }: { readonly shape: PackShape; readonly labels: Buffer },
  options: Build
) {
  const { signal, onProgress = () => {} } = options
  const statistics = pixelStatistics()
  const placeOf = places(shape)
  const total = imageCount(shape)
  let done = 0
  const pack = async ({ bytes, split, label, place }: PackedImage) => {
    signal?.throwIfAborted()
    labels.writeInt32LE(label, place * 4)
    const pixels = await preprocess(bytes, options)
    if (split === 'train') statistics.add(pixels)
    await writeAll(handle, pixels, place * imageBytes(shape))
    done++
    if (Math.floor((done * 100) / total) > Math.floor(((done - 1) * 100) / total)) {
      onProgress(done / total)
    }
  }
  await inParallel(readImages(options, placeOf), decodesAtOnce, pack)
  return statistics.result()
}

/** Gives every image its place in the file: split by split, in the manifest's order within each. */
function places({ counts }: Pick<PackShape, 'counts'>): (split: Split) => number {
  const next = { train: 0, validation: counts.train, test: counts.train + counts.validation }
  return (split) => next[split]++
}

interface PackedImage extends Pick<ManifestImage, 'label'> {
  readonly bytes: Uint8Array
  readonly split: Split
  readonly place: number
}

async function* readImages(
  { tar, manifest, signal }: Build,
  placeOf: (split: Split) => number
): AsyncGenerator<PackedImage> {
  const entries = extract()
  const file = createReadStream(tar, signal ? { signal } : {})
  file.on('error', (error) => entries.destroy(error))
  file.pipe(entries)
  try {
    for await (const entry of entries) {
      const bytes = Buffer.concat(await Array.fromAsync(entry as AsyncIterable<Buffer>))
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      const { value: wanted, done } = await manifest.images.next()
      if (done || entry.header.name !== wanted.sha256 || sha256 !== wanted.sha256) {
        throw new DamagedDataset(
          `Cannot build the pack: the next image must be ${wanted?.sha256 ?? 'none'}, ` +
            `received ${entry.header.name} with digest ${sha256}`
        )
      }
      const { split, label } = wanted
      yield { bytes, split, label, place: placeOf(split) }
    }
    const { value: missing, done } = await manifest.images.next()
    if (!done) {
      throw new DamagedDataset(`Cannot build the pack: the tar ends before ${missing.sha256}`)
    }
  } catch (error) {
    throw asDamage(error)
  } finally {
    file.destroy()
  }
}

async function writeEnd(handle: FileHandle, trailer: PackTrailer, labels: Buffer) {
  const text = Buffer.from(JSON.stringify(trailer))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  const end = Buffer.concat([labels, text, length, packMagic])
  await writeAll(handle, end, imageCount(trailer) * imageBytes(trailer))
}

/** A write may be short when the disk fills up; the next one then fails with ENOSPC. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}
