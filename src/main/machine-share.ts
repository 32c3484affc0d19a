/** Turns settings that leave the machine's size open into numbers. */
import { availableParallelism, totalmem } from 'node:os'
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
