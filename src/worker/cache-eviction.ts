/**
 * Keeps a worker's copies of datasets and its packs within a number of bytes, by least recent use.
 *
 * What a running job uses stays, whichever process of the machine runs it (`use-lock.ts`). An entry
 * leaves its name by a rename under its lock, so that nobody begins to use what is half removed.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, renameSync } from 'node:fs'
import { lstat, readdir, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { type Use, unlessUsed, use } from './use-lock.ts'

export interface Evicted {
  readonly removed: number
  readonly bytes: number
}

const folders = ['datasets', 'packs'] as const
/** Name of what is not finished, or on its way out. */
const partial = 'partial-'

/** The lock of an entry, such as `datasets/<hash>` or `packs/<name>.pack`. */
const lockOf = (entry: string): string => `${entry}.lock`
/** Held while something unfinished lies in the folder. */
const makingLock = (folder: string): string => join(folder, 'making.lock')

/** Has an entry stay until the use ends. It need not be there yet. */
export const useEntry = (entry: string): Use => use(lockOf(entry))

/** Notes that an entry was used now. */
export async function touch(entry: string): Promise<void> {
  await utimes(entry, new Date(), new Date())
}

/** Runs `work`, which makes `partial-*` files or folders in `folder` and removes or renames them. */
export async function making<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const lock = use(makingLock(folder))
  try {
    return await work()
  } finally {
    lock.end()
  }
}

/** Runs `work` unless somebody is making something in `folder`. */
export const unlessMaking = (folder: string, work: () => void): boolean =>
  unlessUsed(makingLock(folder), work)

/** Removes what killed processes left unfinished, and then entries until at most `keep` bytes are left. */
export async function evict(cacheDir: string, keep: number): Promise<Evicted> {
  const entries: Entry[] = []
  for (const name of folders) {
    const folder = join(cacheDir, name)
    await clearPartial(folder)
    entries.push(...(await entriesOf(folder)))
  }
  entries.sort((a, b) => a.usedAt - b.usedAt)
  let left = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  let removed = 0
  let bytes = 0
  for (const entry of entries) {
    if (left <= keep) break
    if (!(await remove(entry))) continue
    left -= entry.bytes
    removed++
    bytes += entry.bytes
  }
  return { removed, bytes }
}

interface Entry {
  readonly folder: string
  readonly path: string
  readonly bytes: number
  readonly usedAt: number
}

async function entriesOf(folder: string): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const name of await namesIn(folder)) {
    if (name.startsWith(partial) || name.endsWith('.lock')) continue
    const path = join(folder, name)
    const found = await lstat(path).catch(() => null)
    if (found === null) continue
    entries.push({ folder, path, bytes: await bytesOf(path), usedAt: found.mtimeMs })
  }
  return entries
}

async function remove({ folder, path }: Entry): Promise<boolean> {
  const aside = join(folder, `${partial}${randomUUID()}`)
  const isFree = unlessUsed(lockOf(path), () => {
    if (existsSync(path)) renameSync(path, aside)
  })
  if (isFree) await rm(aside, { recursive: true, force: true })
  return isFree
}

/** Whatever is unfinished while nobody makes anything was left by a process that was killed. */
async function clearPartial(folder: string): Promise<void> {
  const names = (await namesIn(folder)).filter((name) => name.startsWith(partial))
  if (names.length === 0) return
  const outcasts: string[] = []
  unlessMaking(folder, () => {
    for (const name of names) {
      // Renamed under the lock: a name that is taken up by nobody can be removed at leisure.
      const aside = join(folder, `${partial}${randomUUID()}`)
      if (!existsSync(join(folder, name))) continue
      renameSync(join(folder, name), aside)
      outcasts.push(aside)
    }
  })
  for (const outcast of outcasts) await rm(outcast, { recursive: true, force: true })
}

/** Bytes of a file, or of the files in a folder; what vanishes meanwhile counts nothing. */
async function bytesOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null)
  if (found === null || !found.isDirectory()) return found?.size ?? 0
  const sizes = await Promise.all((await namesIn(path)).map((name) => bytesOf(join(path, name))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
