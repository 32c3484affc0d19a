/** When the attempt of a running job counts as lost: it has been silent for too long. */
import type { JobRow } from './jobs.ts'

/** Silence after which the attempt of a running job counts as lost, in milliseconds: ten missed heartbeats. */
export const lostAfterMs = 20_000

/** Whether the attempt of a running job has been silent for too long. */
export function isLost(job: JobRow, now: Date): boolean {
  return job.heartbeat_at === null || now.getTime() - Date.parse(job.heartbeat_at) > lostAfterMs
}

/** Running time up to now. Of a silence, no more counts than it takes to call an attempt lost. */
export function ranUntil(job: JobRow, now: Date): number {
  if (job.heartbeat_at === null) return job.ran_ms
  const sinceMs = now.getTime() - Date.parse(job.heartbeat_at)
  return job.ran_ms + Math.min(Math.max(sinceMs, 0), lostAfterMs)
}
