/**
 * Uploaded archives until their imports have ended, and the room that their images will need.
 *
 * An archive lies in `uploads` under the id of its dataset. As long as it lies there, its size once more
 * is held back from other uploads: what was accepted must not have to win that room again.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { flushFolder } from '../blob/flush-folder.ts'
import type { Storage } from './storage.ts'

export interface Archives {
  /** Where the archive of a dataset lies. */
  pathOf(dataset: string): string
  /** Moves an uploaded file to that place, durably. Its room is held already, by the upload. */
  keep(dataset: string, file: string): Promise<void>
  /** Removes an archive, if there is one, and lets its room go. */
  drop(dataset: string): Promise<void>
  /** Holds room for the archives of these datasets, and removes all others. */
  tidy(datasets: readonly string[]): Promise<void>
}

export interface ArchivesOptions {
  readonly dataDir: string
  readonly storage: Pick<Storage, 'hold' | 'letGo'>
}

export function createArchives({ dataDir, storage }: ArchivesOptions): Archives {
  const folder = join(dataDir, 'uploads')
  const pathOf = (dataset: string) => join(folder, dataset)
  return {
    pathOf,
    async keep(dataset, file) {
      await mkdir(folder, { recursive: true })
      await rename(file, pathOf(dataset))
      await flushFolder(folder)
    },
    async drop(dataset) {
      await rm(pathOf(dataset), { force: true })
      storage.letGo(dataset)
    },
    async tidy(datasets) {
      await mkdir(folder, { recursive: true })
      const wanted = new Set(datasets)
      for (const name of await readdir(folder)) {
        if (wanted.has(name)) storage.hold(name, (await stat(pathOf(name))).size)
        else await rm(pathOf(name), { recursive: true })
      }
    }
  }
}
