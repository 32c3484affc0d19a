/**
 * Fetches a dataset version once and keeps it by its hash, until room is needed for another.
 *
 * A folder is complete once it has its images, which come last and are flushed before they do: neither a
 * worker that is killed while downloading nor a power cut leaves what a later job could mistake for data.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Assignment } from '../contract/job.ts'
import { readManifest } from '../dataset/manifest-file.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import type { InputShape } from '../image/preprocess.ts'
import type { ApiClient } from './api-client.ts'
import { evict, making, touch, useEntry } from './cache-eviction.ts'
import { flush, moveDurably } from './durable-file.ts'
import { inputOf } from './input-of.ts'

/** Names of the two files in a dataset's folder. */
export const manifestFile = 'manifest.jsonl'
export const imagesFile = 'images.tar'

export interface DatasetCache {
  /** Holds `datasets/` and `packs/`. */
  readonly cacheDir: string
  /** Bytes that both may take together; Infinity for no limit. */
  readonly cacheBytes: number
  readonly signal: AbortSignal
}

export interface CachedDataset {
  /** With `manifest.jsonl` and `images.tar`. */
  readonly folder: string
  /** Whether it was fetched just now, not found. */
  readonly isFresh: boolean
  /** Has whoever wants it next fetch it anew; who reads it already may go on. */
  drop(): Promise<void>
  /** Lets it be evicted; it stays until then. */
  release(): void
}

/**
 * Has the assignment's dataset version at hand.
 *
 * @throws ServiceError DISK_FULL when there is no room for it, even with everything gone that is not in use
 */
export async function fetchDataset(
  api: ApiClient,
  assignment: Assignment,
  cache: DatasetCache
): Promise<CachedDataset> {
  const folder = join(cache.cacheDir, 'datasets', assignment.dataset.hash)
  // Before the look: what is there must not be evicted between it and the use.
  const held = useEntry(folder)
  try {
    const images = join(folder, imagesFile)
    const isFresh = !existsSync(images)
    if (isFresh) await fetchFresh(api, assignment, { ...cache, folder })
    else await touch(folder)
    const drop = () => rm(images, { force: true })
    return { folder, isFresh, drop, release: () => held.end() }
  } catch (error) {
    held.end()
    const known = asDiskError(error, 'fetch the dataset')
    // Put off rather than failed: the next attempt finds the room that this one makes.
    if (known instanceof ServiceError && known.code === 'DISK_FULL') await evict(cache.cacheDir, 0)
    throw known
  }
}

async function fetchFresh(
  api: ApiClient,
  assignment: Assignment,
  { folder, cacheDir, cacheBytes, signal }: DatasetCache & { readonly folder: string }
): Promise<void> {
  const datasets = join(cacheDir, 'datasets')
  await making(datasets, async () => {
    const staging = await mkdtemp(join(datasets, 'partial-'))
    try {
      const manifest = join(staging, manifestFile)
      await api.downloadManifest(assignment.dataset, manifest, signal)
      const coming = await bytesToCome(manifest, assignment.dataset.hash, inputOf(assignment))
      await evict(cacheDir, Math.max(0, cacheBytes - coming))
      await api.downloadImages(assignment.dataset, join(staging, imagesFile), signal)
      await publish(staging, folder)
    } finally {
      await rm(staging, { recursive: true, force: true })
    }
  })
}

/** Bytes of the tar file and of the pack that will be built from it. */
async function bytesToCome(
  file: string,
  hash: string,
  { size, channels }: InputShape
): Promise<number> {
  const { header, images, close } = await readManifest(file)
  try {
    if (header.hash !== hash) {
      throw new Error(`Cannot use dataset: expected hash ${hash}, received ${header.hash}`)
    }
    let bytes = 0
    // A tar file has a block of 512 bytes before each entry, and fills each up to whole blocks.
    for await (const image of images) {
      bytes += 512 * (1 + Math.ceil(image.bytes / 512)) + size * size * channels
    }
    return bytes
  } finally {
    await close()
  }
}

/** Two jobs may have fetched the same version at once; either copy is right. */
async function publish(staging: string, home: string): Promise<void> {
  await mkdir(home, { recursive: true })
  await flush(dirname(home))
  for (const name of [manifestFile, imagesFile]) {
    await moveDurably(join(staging, name), join(home, name))
  }
}
