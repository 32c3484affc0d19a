/**
 * Hands jobs to the queue, and sees to it that none is forgotten.
 *
 * The catalogue is the truth and the queue only a messenger: a dispatch that cannot be handed over now
 * is handed over by reconciliation, which runs at start, whenever Redis comes back, and every 15 s.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Blobs } from '../blob/blobs.ts'
import { findUnheld, findWaiting, type Unheld } from '../catalog/job-dispatch.ts'
import { dropEndedFiles, unreferenced } from '../catalog/job-files.ts'
import { errorOf, failWaitingJob } from '../catalog/job-outcome.ts'
import { type JobRow, planWaitingJob } from '../catalog/jobs.ts'
import type { Catalog } from '../catalog/open.ts'
import { ServiceError } from '../errors.ts'
import type { JobPlanner } from './job-planner.ts'

export interface DispatcherOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly planner: JobPlanner
  /** Puts dispatch `n` of a job into the queue. May fail; adding twice is harmless. */
  readonly send: (id: string, n: number) => Promise<void>
  readonly log: FastifyBaseLogger
}

export interface Dispatcher {
  /** Hands a queued job over. Never fails: what the queue does not take now, it gets later. */
  dispatch(job: JobRow): Promise<void>
  /** Removes those of `contents` that nothing refers to any more, and the files of ended jobs. */
  tidy(contents?: readonly string[]): Promise<void>
  /** Hands over everything that nobody holds. Runs one at a time. */
  reconcile(): Promise<void>
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { db, blobs, send, log } = options
  let running: Promise<void> = Promise.resolve()
  const hand = async ({ id, dispatch }: Unheld): Promise<boolean> => {
    try {
      await send(id, dispatch)
      return true
    } catch (error) {
      log.warn({ reason: String(error), jobId: id, dispatch }, 'dispatch postponed')
      return false
    }
  }
  const tidy = async (contents: readonly string[] = []): Promise<void> => {
    const gone = [...contents, ...(await dropEndedFiles(db))]
    if (gone.length === 0) return
    // In a transaction, so that no row can come to refer to a content between the look and the removal.
    await db.transaction().execute(async (trx) => {
      for (const content of await unreferenced(trx, gone)) await blobs.delete(content)
    })
  }
  return {
    async dispatch(job) {
      if (job.state === 'queued' && job.dataset_version !== null) await hand(job)
    },
    tidy,
    reconcile() {
      running = running
        .then(async () => {
          for (const job of await findWaiting(db)) await startWaiting(job, options)
          for (const job of await findUnheld(db)) {
            // A queue that did not take this one takes none; all have their turn in 15 s.
            if (!(await hand(job))) break
          }
          await tidy()
        })
        .catch((error) => log.error({ err: error }, 'reconciliation failed'))
      return running
    }
  }
}

/** Plans a job whose dataset has become ready; fails it when that is not possible any more. */
async function startWaiting(job: JobRow, { db, planner, log }: DispatcherOptions): Promise<void> {
  try {
    const { plan } = await planner.plan(JSON.parse(job.spec), job.dataset_id)
    if (plan !== null) await planWaitingJob(db, job.id, plan)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    log.info({ jobId: job.id, code: error.code }, 'waiting job failed')
    const faults = (error.errors ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`)
    await failWaitingJob(db, job.id, errorOf(error.code, [error.detail, ...faults].join('; ')))
  }
}
