/**
 * When a message that was not taken is tried again: eleven tries within a day.
 *
 * Far apart in the end, so that a receiver that is down for a night still hears of the job; each wait
 * is up to a tenth shorter or longer, so that what failed together does not come back together.
 */
import { createHash } from 'node:crypto'

/** Waits after the first, second, ... try: 23 h 43 min in all. */
const waitSeconds = [5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800] as const
const jitter = 0.1

/**
 * Milliseconds to wait after a try that failed, or null when it was the last.
 *
 * @param id of the message; with the number of the try it decides the jitter, so that a restart does not
 * @param tries made so far, at least 1
 */
export function retryDelayMs(id: string, tries: number): number | null {
  const seconds = waitSeconds[tries - 1]
  if (seconds === undefined) return null
  return Math.round(seconds * 1000 * (1 + jitter * (2 * share(`${id}:${tries}`) - 1)))
}

/** A number from 0 up to 1 that a text decides. */
const share = (text: string): number =>
  createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32
