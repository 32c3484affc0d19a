/**
 * Removes what attempts of an earlier, killed worker left behind.
 *
 * A scratch folder belongs to one attempt of one running worker; two workers must not share a cache
 * folder, so at start everything in it is left over.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Empties `scratch/` and removes half-fetched datasets and half-built packs below `cacheDir`. */
export async function clearScratch(cacheDir: string): Promise<void> {
  await rm(join(cacheDir, 'scratch'), { recursive: true, force: true })
  for (const folder of ['datasets', 'packs']) {
    for (const name of await entries(join(cacheDir, folder))) {
      if (name.startsWith('partial-')) {
        await rm(join(cacheDir, folder, name), { recursive: true, force: true })
      }
    }
  }
}

async function entries(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}
