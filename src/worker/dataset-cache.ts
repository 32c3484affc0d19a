/**
 * Fetches a dataset version once and keeps it by its hash.
 *
 * A folder appears under its final name only when it is complete, so a worker that is killed while
 * downloading leaves nothing that a later job could mistake for data.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Assignment } from '../contract/job.ts'
import { readManifest } from '../dataset/manifest-file.ts'
import type { ApiClient } from './api-client.ts'

/** Names of the two files in a dataset's folder. */
export const manifestFile = 'manifest.jsonl'
export const imagesFile = 'images.tar'

/** Returns the folder with `manifest.jsonl` and `images.tar` of the assignment's dataset version. */
export async function fetchDataset(
  api: ApiClient,
  { dataset }: Assignment,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal }
): Promise<string> {
  const home = join(folder, dataset.hash)
  if (existsSync(home)) return home
  await mkdir(folder, { recursive: true })
  const staging = await mkdtemp(join(folder, 'partial-'))
  try {
    const manifest = join(staging, manifestFile)
    await api.downloadManifest(dataset, manifest, signal)
    const { header, close } = await readManifest(manifest)
    await close()
    if (header.hash !== dataset.hash) {
      throw new Error(`Cannot use dataset: expected hash ${dataset.hash}, received ${header.hash}`)
    }
    await api.downloadImages(dataset, join(staging, imagesFile), signal)
    await publish(staging, home)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return home
}

/** Two jobs may have fetched the same version at once; either copy is right. */
async function publish(staging: string, home: string): Promise<void> {
  try {
    await rename(staging, home)
  } catch (error) {
    if (!existsSync(home)) throw error
  }
}
