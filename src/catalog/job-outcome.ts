/**
 * Ends an attempt: publishes, fails, gives up, or has the job dispatched again.
 *
 * Reporting the same outcome twice (the first answer was lost) gives the same answer and does nothing.
 */
import type { Outcome } from '../contract/internal.ts'
import type { Problem } from '../contract/problem.ts'
import type { PublishedReport } from '../contract/report.ts'
import { type ErrorCode, errorCatalogue, ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { keepEvaluation } from './evaluations.ts'
import { type AttemptRef, fenced } from './job-attempts.ts'
import { jobArtifacts } from './job-files.ts'
import { getJob, type JobRow, moveJob } from './jobs.ts'
import type { Catalog } from './open.ts'
import { publishVersion } from './publish-version.ts'

/** How long a job waits whose worker cannot go on: time for room to be made, or for the api to come back. */
const postponedMs = 60_000
/** Crashes in a row, without a checkpoint between them, that a job is allowed. */
const mostCrashes = 3
const lastLines = 20

type Completed = Extract<Outcome, { kind: 'completed' }>
type Evaluated = Extract<Outcome, { kind: 'evaluated' }>
type Crashed = Extract<Outcome, { kind: 'crashed' }>

/** @throws ServiceError ATTEMPT_STALE, or MODEL_INVALID when the report does not fit the artifacts */
export function settleAttempt(
  db: Catalog,
  ref: AttemptRef,
  outcome: Outcome,
  now = new Date()
): Promise<JobRow> {
  return db.transaction().execute(async (trx) => {
    const known = await getJob(trx, ref.id)
    if (known.attempt === ref.attempt && known.state !== 'running') return known
    return settle(trx, await fenced(trx, ref), outcome, now)
  })
}

function settle(
  trx: CatalogTransaction,
  job: JobRow,
  outcome: Outcome,
  now: Date
): Promise<JobRow> {
  // Whatever the attempt came to: who asked for the job to be given up was told that it will be.
  if (job.order === 'cancel') return moveJob(trx, job, 'cancel', { stop_reason: 'cancelled' }, now)
  switch (outcome.kind) {
    case 'completed':
      return complete(trx, job, outcome, now)
    case 'evaluated':
      return completeEvaluation(trx, job, outcome, now)
    case 'failed':
      return fail(trx, job, errorOf(outcome.code, outcome.detail), now)
    case 'crashed':
      return crash(trx, job, outcome, now)
    case 'cancelled':
    case 'released':
      return requeue(trx, job, {}, now)
    case 'postponed':
      return postpone(trx, job, outcome.detail, now)
  }
}

async function complete(
  trx: CatalogTransaction,
  job: JobRow,
  { report, stopReason }: Completed,
  now: Date
): Promise<JobRow> {
  assertKind(job, 'train')
  const version = await publishVersion(trx, {
    job: job.id,
    model: job.model,
    dataset: { id: job.dataset_id, name: job.dataset_name, version: job.dataset_version ?? 0 },
    report: report as PublishedReport,
    artifacts: await jobArtifacts(trx, job.id),
    alias: job.alias,
    owner: job.owner
  })
  const result = { model: job.model, version, recommended: report.recommended }
  const changes = {
    stage: 'publish',
    progress: 1,
    stop_reason: stopReason,
    result: JSON.stringify(result)
  } as const
  return moveJob(trx, job, 'complete', changes, now)
}

async function completeEvaluation(
  trx: CatalogTransaction,
  job: JobRow,
  { report, stopReason }: Evaluated,
  now: Date
): Promise<JobRow> {
  assertKind(job, 'evaluate')
  const result = await keepEvaluation(trx, job, report)
  const changes = {
    stage: 'evaluate',
    progress: 1,
    stop_reason: stopReason,
    result: JSON.stringify(result)
  } as const
  return moveJob(trx, job, 'complete', changes, now)
}

function assertKind({ kind }: JobRow, wanted: JobRow['kind']): void {
  if (kind === wanted) return
  throw new ServiceError('REQUEST_INVALID', {
    detail: `Cannot end the attempt: this is the outcome of a job to ${wanted}, received for one to ${kind}`
  })
}

/** Fails a job that waited for a dataset in vain, unless it has been cancelled meanwhile. */
export function failWaitingJob(
  db: Catalog,
  id: string,
  error: Problem,
  now = new Date()
): Promise<void> {
  return db.transaction().execute(async (trx) => {
    const job = await getJob(trx, id)
    if (job.state !== 'queued') return
    await moveJob(trx, job, 'fail', { error: JSON.stringify(error) }, now)
  })
}

const fail = (trx: CatalogTransaction, job: JobRow, error: Problem, now: Date): Promise<JobRow> =>
  moveJob(trx, job, 'fail', { error: JSON.stringify(error) }, now)

/** Has a job dispatched again. */
const requeue = (
  trx: CatalogTransaction,
  job: JobRow,
  changes: { readonly crashes?: number; readonly not_before?: string },
  now: Date
): Promise<JobRow> =>
  moveJob(trx, job, 'requeue', { not_before: null, ...changes, dispatch: job.dispatch + 1 }, now)

/** Has a job dispatched again after a while, and says in its log why. Nothing is counted against it. */
async function postpone(
  trx: CatalogTransaction,
  job: JobRow,
  detail: string,
  now: Date
): Promise<JobRow> {
  const not_before = new Date(now.getTime() + postponedMs).toISOString()
  const message = `put off until ${not_before}: ${detail}`
  const line = { job_id: job.id, at: now.toISOString(), level: 'warn', message } as const
  await trx.insertInto('job_logs').values(line).execute()
  return requeue(trx, job, { not_before }, now)
}

async function crash(
  trx: CatalogTransaction,
  job: JobRow,
  outcome: Crashed,
  now: Date
): Promise<JobRow> {
  // Nothing that the job did: it must neither count nor be repeated at once.
  if (outcome.cause === 'supervisor') return postpone(trx, job, outcome.detail, now)
  const crashes = outcome.progressed ? 0 : job.crashes + 1
  if (crashes < mostCrashes) {
    return requeue(trx, job, { crashes }, now)
  }
  const error = errorOf('JOB_CRASHED', await crashReport(trx, job, outcome))
  return moveJob(trx, job, 'fail', { crashes, error: JSON.stringify(error) }, now)
}

async function crashReport(
  trx: CatalogTransaction,
  job: JobRow,
  { exitCode, signal, detail }: Crashed
): Promise<string> {
  const lines = await trx
    .selectFrom('job_logs')
    .select('message')
    .where('job_id', '=', job.id)
    .orderBy('seq', 'desc')
    .limit(lastLines)
    .execute()
  const log = lines.map(({ message }) => message).reverse()
  return [
    `The trainer ended ${mostCrashes} times in a row without progress, last with exit code ${exitCode}, signal ${signal}: ${detail}`,
    ...(log.length === 0 ? [] : [`The last lines of the log: ${log.join('\n')}`])
  ].join('\n')
}

/** The problem of a code that a worker reports; a code that we do not know is our fault. */
export function errorOf(code: string, detail: string): Problem {
  const known = (Object.hasOwn(errorCatalogue, code) ? code : 'INTERNAL') as ErrorCode
  const { status, title } = errorCatalogue[known]
  const type = `/problems/${known.toLowerCase().replaceAll('_', '-')}`
  return { type, title, status, code: known, detail }
}
