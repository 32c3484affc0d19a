/**
 * A folder of its own for each attempt, and the removal of those that killed workers left behind.
 *
 * A lock inside says that its worker lives, so several workers may share a cache folder.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { evict, making, unlessMaking } from './cache-eviction.ts'
import { unlessUsed, use } from './use-lock.ts'

export interface Scratch {
  readonly folder: string
  remove(): Promise<void>
}

const lockFile = 'in-use.lock'

/** Makes the scratch folder of an attempt at `job`, with an empty folder `artifacts` in it. */
export async function openScratch(cacheDir: string, job: string): Promise<Scratch> {
  const parent = join(cacheDir, 'scratch')
  return making(parent, async () => {
    const folder = await mkdtemp(join(parent, `${job}-`))
    const held = use(join(folder, lockFile))
    await mkdir(join(folder, 'artifacts'))
    return {
      folder,
      async remove() {
        held.end()
        await rm(folder, { recursive: true, force: true })
      }
    }
  })
}

/** Removes scratch folders of workers that are gone, half-fetched datasets and half-built packs. */
export async function clearScratch(cacheDir: string): Promise<void> {
  const parent = join(cacheDir, 'scratch')
  mkdirSync(parent, { recursive: true })
  const left: string[] = []
  // While nobody makes one, every folder has the lock of its worker, if that lives.
  unlessMaking(parent, () => {
    for (const entry of readdirSync(parent, { withFileTypes: true })) {
      const folder = join(parent, entry.name)
      if (entry.isDirectory() && unlessUsed(join(folder, lockFile), () => {})) left.push(folder)
    }
  })
  // The trainer of a killed worker may take a moment to notice, and still write.
  const patient = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 } as const
  for (const folder of left) await rm(folder, patient)
  await evict(cacheDir, Number.POSITIVE_INFINITY)
}
