/**
 * The life of a job: which states there are, what moves it from one to another, and nothing else.
 *
 *     queued ──claim──▶ running ──complete──▶ completed
 *       ▲  └─cancel, fail─┐ │ └─fail, cancel─▶ failed, cancelled
 *       └───requeue───────┼─┘
 *                         └▶ failed, cancelled
 *
 * A running job may be claimed anew (its attempt was lost); that is no transition. Ended is final. The
 * catalogue's trigger refuses what this table does not allow.
 */
import type { JobState } from '../contract/job.ts'
import { ServiceError } from '../errors.ts'

export type JobMove = 'claim' | 'requeue' | 'complete' | 'fail' | 'cancel'

const moves: Readonly<Record<JobState, Partial<Record<JobMove, JobState>>>> = {
  queued: { claim: 'running', fail: 'failed', cancel: 'cancelled' },
  running: {
    claim: 'running',
    requeue: 'queued',
    complete: 'completed',
    fail: 'failed',
    cancel: 'cancelled'
  },
  completed: {},
  failed: {},
  cancelled: {}
}

/** Whether nothing can happen to a job any more. */
export const hasEnded = (state: JobState): boolean => Object.keys(moves[state]).length === 0

/**
 * The state after a move.
 *
 * @throws ServiceError JOB_ENDED when the job has ended; RangeError when the move makes no sense
 */
export function nextState(state: JobState, move: JobMove): JobState {
  const next = moves[state][move]
  if (next !== undefined) return next
  if (hasEnded(state)) {
    throw new ServiceError('JOB_ENDED', { detail: `Cannot ${move} the job: it is ${state}` })
  }
  throw new RangeError(`Cannot ${move} a job: it is ${state}`)
}
