/**
 * Where a dispatch stands in the queue: the catalogue's priority and turn as BullMQ's one number.
 *
 * BullMQ takes the lowest first, and the one that was added first among equals
 * (docs.bullmq.io/guide/jobs/prioritized). Each priority has a third of the numbers to itself.
 */
import type { JobPriority } from '../contract/job.ts'

export interface Place {
  readonly priority: JobPriority
  /** 0, 1, 2, ...: whose turn it is within the priority. */
  readonly turn: number
  /** Whether the job has been started before. Then it goes before all others of its turn. */
  readonly begun: boolean
}

/** The highest number that BullMQ accepts. */
const mostNumber = 2 ** 21 - 1
const ranks = { high: 0, normal: 1, low: 2 } as const satisfies Record<JobPriority, number>
const numbersEach = Math.floor(mostNumber / Object.keys(ranks).length)

/**
 * A number between 1 and 2^21 - 1. Beyond some 350 000 turns all stand in the same place, and go in the
 * order in which they came.
 */
export function queueNumber({ priority, turn, begun }: Place): number {
  const within = Math.min(2 * turn + (begun ? 0 : 1), numbersEach - 1)
  return 1 + ranks[priority] * numbersEach + within
}
