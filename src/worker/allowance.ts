/**
 * Keeps a trainer within what its job was allowed, by looking again and again.
 *
 * A job that needs more than was estimated would otherwise take the machine, and with it the jobs beside
 * it; and it would do so again at every attempt, which is why it is failed and not started again.
 */
import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import { partialOf } from '../dataset/pack.ts'
import { residentMemory } from './resident-memory.ts'

export type Excess = Extract<Outcome, { kind: 'failed' }>

export interface Watched {
  readonly pid: number
  readonly allowance: Assignment['allowance']
  readonly scratch: string
  /** The pack that the job trains on, whether it is there or is being built. */
  readonly pack: string
}

export interface AllowanceOptions {
  readonly everyMs: number
  readonly signal: AbortSignal
  /** Called once. */
  readonly onExcess: (excess: Excess) => void
}

export class AllowanceWatch {
  readonly #watched: Watched
  /** Bytes: the most that has been seen; undefined where the system does not tell. */
  peak: number | undefined

  constructor(watched: Watched) {
    this.#watched = watched
  }

  /** Looks until the signal aborts or something has been exceeded. Never throws. */
  async keep({ everyMs, signal, onExcess }: AllowanceOptions): Promise<void> {
    while (!signal.aborted) {
      const excess = (await this.#memory()) ?? (await this.#disk())
      if (signal.aborted) return
      if (excess !== undefined) return onExcess(excess)
      await sleep(everyMs, undefined, { signal }).catch(() => {})
    }
  }

  async #memory(): Promise<Excess | undefined> {
    const { pid, allowance } = this.#watched
    const resident = await residentMemory(pid)
    if (resident === undefined) return undefined
    this.peak = resident.peak
    if (resident.now <= allowance.memoryBytes) return undefined
    return {
      kind: 'failed',
      code: 'MEMORY_EXCEEDED',
      detail: `Cannot go on with the job: it may take ${inMiB(allowance.memoryBytes)} of memory and has taken ${inMiB(resident.now)}, at its peak ${inMiB(resident.peak)}`
    }
  }

  async #disk(): Promise<Excess | undefined> {
    const { pid, allowance, scratch, pack } = this.#watched
    const taken =
      (await bytesBelow(scratch)) + (await bytesOf(pack)) + (await partials(dirname(pack), pid))
    if (taken <= allowance.diskBytes) return undefined
    return {
      kind: 'failed',
      code: 'DISK_EXCEEDED',
      detail: `Cannot go on with the job: it may take ${inMiB(allowance.diskBytes)} of disk and has taken ${inMiB(taken)} for its pack, checkpoints and artifacts`
    }
  }
}

/** MiB, as figures of memory are told to people. */
export const inMiB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

async function bytesBelow(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  return sum(names.map((name) => join(folder, name)))
}

/** What this trainer is building; others may be at work in the same folder. */
async function partials(folder: string, pid: number): Promise<number> {
  const names = await readdir(folder).catch(() => [])
  return sum(names.filter((name) => name.startsWith(partialOf(pid))).map((n) => join(folder, n)))
}

async function sum(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(bytesOf))
  return sizes.reduce((total, bytes) => total + bytes, 0)
}

/** Bytes on the disk, in units of 512 as stat(2) counts them; 0 of a file that has gone meanwhile. */
const bytesOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ blocks }) => blocks * 512,
    () => 0
  )
