/** Turns settings that leave the machine's size open into numbers. */
import { availableParallelism, totalmem } from 'node:os'
import { resolve, sep } from 'node:path'
import type { Config } from '../config.ts'

/** Threads of one trainer: as set, else the cores shared between the trainers of this worker. */
export function trainerThreads({ threads, workerConcurrency }: Config): number {
  if (threads > 0) return threads
  return Math.max(1, Math.floor(availableParallelism() / workerConcurrency))
}

/** Bytes that a job may be estimated to need: as set, else four fifths of the machine's memory. */
export function memoryLimit(config: Config): number {
  return config.memoryLimit > 0 ? config.memoryLimit : Math.floor(totalmem() * 0.8)
}

/** Of a limit on the data folder, the part that a worker's cache in it may take. */
const cacheShare = 0.25

/**
 * Bytes that a worker's cache may take, or Infinity. Where it lies in a data folder with a limit, it
 * leaves most of that to what cannot be fetched again.
 */
export function cacheLimit({ cacheBytes, maxDisk, cacheDir, dataDir }: Config): number {
  const asSet = cacheBytes > 0 ? cacheBytes : Number.POSITIVE_INFINITY
  const isInside = resolve(cacheDir).startsWith(resolve(dataDir) + sep)
  return maxDisk > 0 && isInside ? Math.min(asSet, Math.floor(maxDisk * cacheShare)) : asSet
}
