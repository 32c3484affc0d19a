/**
 * Removes files that are no blobs and that nobody will come back for.
 *
 * They are left where a removal failed: uploads that broke off, staging folders of imports, archives
 * whose import has ended. What a killed process leaves goes at the next start; this is for a service
 * that runs for months.
 */
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { graceMs, type Swept } from './sweep-blobs.ts'

/** A Redis whose file was damaged is put aside for somebody to look at; a week is time enough. */
const asideMs = 7 * 24 * 3_600_000

export interface LeftoversOptions {
  readonly dataDir: string
  /** Datasets whose archive is still to be imported, by id. */
  readonly importing: ReadonlySet<string>
  readonly now?: number
}

export async function sweepLeftovers(options: LeftoversOptions): Promise<Swept> {
  const { dataDir, importing, now = Date.now() } = options
  let removed = 0
  let bytes = 0
  for (const { folder, ageMs = graceMs, isWanted = () => false } of rules(importing)) {
    for (const name of await namesIn(join(dataDir, folder))) {
      if (isWanted(name)) continue
      const path = join(dataDir, folder, name)
      const untouched = await untouchedSince(path, now - ageMs)
      if (untouched === null) continue
      await rm(path, { recursive: true, force: true })
      removed++
      bytes += untouched
    }
  }
  return { removed, bytes }
}

interface Rule {
  /** Below the data folder. */
  readonly folder: string
  /** How long nothing in an entry must have changed. What is in use is written to all the time. */
  readonly ageMs?: number
  readonly isWanted?: (name: string) => boolean
}

const rules = (importing: ReadonlySet<string>): readonly Rule[] => [
  { folder: 'imports' },
  { folder: 'uploads', isWanted: (name) => importing.has(name) },
  { folder: join('blobs', 'staging') },
  { folder: join('images', 'staging') },
  { folder: '.', ageMs: asideMs, isWanted: (name) => !aside.test(name) }
]

/** Put aside by `main/redis-child.ts`, or written aside and never renamed. */
const aside = /^redis-damaged-\d+$|\.partial$/

/** Bytes of what has not been changed since, nor anything in it; null for everything else. */
async function untouchedSince(path: string, before: number): Promise<number | null> {
  try {
    const { size, mtimeMs, ctimeMs } = await lstat(path)
    if (Math.max(mtimeMs, ctimeMs) > before) return null
    let bytes = size
    for (const name of await namesIn(path)) {
      const inside = await untouchedSince(join(path, name), before)
      if (inside === null) return null
      bytes += inside
    }
    return bytes
  } catch (error) {
    // Gone meanwhile.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
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
