/** Measures a data folder by walking it: bytes by what they are for. */
import type { Dirent } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join, sep } from 'node:path'

/** What lies in a data folder, by where it lies. */
export interface FolderUse {
  /** Contents of the datasets' images, and of jobs and models. */
  readonly images: number
  readonly blobs: number
  /** Files in these two. */
  readonly files: number
  /** Uploads on their way in, and what is made of them. */
  readonly uploads: number
  readonly catalogue: number
  readonly redis: number
  readonly workerCache: number
  readonly other: number
}

/** Most file systems give out blocks of this size; a file takes whole ones. */
export const blockBytes = 4096
const onDisk = (bytes: number): number => Math.ceil(bytes / blockBytes) * blockBytes

const statsAtOnce = 32

/** Walks `dataDir`. What vanishes meanwhile is not counted. */
export async function measureFolder(dataDir: string, cacheDir: string): Promise<FolderUse> {
  const use = {
    images: 0,
    blobs: 0,
    files: 0,
    uploads: 0,
    catalogue: 0,
    redis: 0,
    workerCache: 0,
    other: 0
  }
  const walk = async (folder: string): Promise<void> => {
    const entries = await entriesOf(folder)
    const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    const part = partOf(folder, dataDir, cacheDir)
    for (let i = 0; i < files.length; i += statsAtOnce) {
      const sizes = files.slice(i, i + statsAtOnce).map((name) => sizeOf(join(folder, name)))
      for (const size of await Promise.all(sizes)) use[part] += onDisk(size)
    }
    if (part === 'images' || part === 'blobs') use.files += files.length
    for (const entry of entries) if (entry.isDirectory()) await walk(join(folder, entry.name))
  }
  await walk(dataDir)
  return use
}

function partOf(
  folder: string,
  dataDir: string,
  cacheDir: string
): Exclude<keyof FolderUse, 'files'> {
  if (folder === cacheDir || folder.startsWith(cacheDir + sep)) return 'workerCache'
  const [top = '', below] = folder.slice(dataDir.length + 1).split(sep)
  if (top === 'uploads' || top === 'imports') return 'uploads'
  if (top === 'images' || top === 'blobs') return below === 'staging' ? 'uploads' : top
  if (top === 'catalog') return 'catalogue'
  return /^redis(-damaged-\d+)?$/.test(top) ? 'redis' : 'other'
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await lstat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
