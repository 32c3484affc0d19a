/**
 * Hands jobs to the queue, and sees to it that none is forgotten.
 *
 * The catalogue is the truth and the queue only a messenger: a dispatch that cannot be handed over now
 * is handed over by reconciliation, which runs at start, whenever Redis comes back, and every 15 s. What
 * a silent worker holds is taken from it sooner.
 */
import type { BaseLogger } from 'pino'
import type { Blobs } from '../blob/blobs.ts'
import { findLost, findQueued, findWaiting, type Unheld } from '../catalog/job-dispatch.ts'
import { dropEndedFiles, unreferenced } from '../catalog/job-files.ts'
import { errorOf, failWaitingJob } from '../catalog/job-outcome.ts'
import { type JobRow, planWaitingJob, traceOf } from '../catalog/jobs.ts'
import type { Catalog } from '../catalog/open.ts'
import { ServiceError } from '../errors.ts'
import { type Place, queueNumber } from '../queue/place.ts'
import { noTracing, type Tracing } from '../trace/tracing.ts'
import type { JobPlanner } from './job-planner.ts'

export interface DispatcherOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly planner: JobPlanner
  /** Puts dispatch `n` of a job into the queue. May fail; adding twice is harmless. */
  readonly send: (id: string, n: number, place: Place) => Promise<void>
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
  /** Told whenever jobs may have ended. */
  readonly onEnded?: () => void
  /** @default nothing is traced */
  readonly tracing?: Tracing
  /** @default Date.now */
  readonly now?: () => number
}

export interface Dispatcher {
  /** Hands a queued job over. Never fails: what the queue does not take now, it gets later. */
  dispatch(job: JobRow): Promise<void>
  /** Removes those of `contents` that nothing refers to any more, and the files of ended jobs. */
  tidy(contents?: readonly string[]): Promise<void>
  /** Hands over everything that nobody holds. Runs one at a time. */
  reconcile(): Promise<void>
  /** Hands over only what silent workers hold: cheap enough to be called every few seconds. */
  recover(): Promise<void>
}

/** While the api was away no worker could give a sign of life; so long they have after its start. */
const settlingMs = 10_000

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { db, blobs, send, log, onEnded = () => {}, now = Date.now, tracing = noTracing } = options
  const startedAt = now()
  let running: Promise<void> = Promise.resolve()
  const hand = async (job: Unheld): Promise<boolean> => {
    const { id, dispatch } = job
    try {
      await send(id, dispatch, placeOf(job))
      return true
    } catch (error) {
      log.warn({ reason: String(error), jobId: id, dispatch }, 'dispatch postponed')
      return false
    }
  }
  /** Reconciliation, which hands over again and again what waits, leaves no trace. */
  const handTraced = async (job: Unheld): Promise<boolean> => {
    const attributes = { 'whittle.job': job.id, 'whittle.dispatch': job.dispatch }
    const options = { kind: 'producer', parent: traceOf(job), attributes } as const
    const span = tracing.start('dispatch job', options)
    const isHanded = await hand(job)
    if (!isHanded) span.fail('postponed', 'Redis is away')
    span.end()
    return isHanded
  }
  const tidy = async (contents: readonly string[] = []): Promise<void> => {
    onEnded()
    const gone = [...contents, ...(await dropEndedFiles(db))]
    if (gone.length === 0) return
    // In a transaction, so that no row can come to refer to a content between the look and the removal.
    await db.transaction().execute(async (trx) => {
      for (const content of await unreferenced(trx, gone)) await blobs.delete(content)
    })
  }
  const handAll = async (jobs: readonly Unheld[], handOne = hand): Promise<void> => {
    const number = (job: Unheld): number => queueNumber(placeOf(job))
    // Who waits for a job takes the first that comes, so those in front must come first.
    for (const job of jobs.toSorted((a, b) => number(a) - number(b))) {
      // A queue that did not take this one takes none; all have their turn in 15 s.
      if (!(await handOne(job))) return
    }
  }
  const inTurn = (step: () => Promise<void>): Promise<void> => {
    running = running
      .then(step)
      .catch((error) => log.error({ err: error }, 'reconciliation failed'))
    return running
  }
  const hasSettled = (): boolean => now() - startedAt >= settlingMs
  return {
    async dispatch(job) {
      const isDue = job.not_before === null || Date.parse(job.not_before) <= now()
      if (job.state === 'queued' && job.dataset_version !== null && isDue) await handTraced(job)
    },
    tidy,
    reconcile: () =>
      inTurn(async () => {
        await startAllWaiting(options)
        await handAll(await findQueued(db, new Date(now())))
        await tidy()
      }),
    recover: () =>
      inTurn(async () => {
        if (hasSettled()) await handAll(await findLost(db, new Date(now())), handTraced)
      })
  }
}

const placeOf = ({ priority, turn, attempt }: Unheld): Place => ({
  priority,
  turn,
  begun: attempt > 0
})

/** What is wrong with one of them does not hold up the others, nor what comes after. */
async function startAllWaiting(options: DispatcherOptions): Promise<void> {
  const { db, log } = options
  for (const job of await findWaiting(db)) {
    await startWaiting(job, options).catch((error) =>
      log.error({ err: error, jobId: job.id }, 'waiting job could not be started')
    )
  }
}

/** Plans a job whose dataset has become ready; fails it when that is not possible any more. */
async function startWaiting(job: JobRow, { db, planner, log }: DispatcherOptions): Promise<void> {
  try {
    const { plan } = await planner.planWaiting(job)
    if (plan !== null) await planWaitingJob(db, job.id, plan)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    log.info({ jobId: job.id, code: error.code }, 'waiting job failed')
    const faults = (error.errors ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`)
    await failWaitingJob(db, job.id, errorOf(error.code, [error.detail, ...faults].join('; ')))
  }
}
