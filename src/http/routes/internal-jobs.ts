/** `/internal/v1/jobs`: what workers say about the jobs they hold (contract/internal.ts). */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import {
  type AttemptRef,
  beat,
  claimJob,
  fenced,
  recordEvents,
  secondsLeft
} from '../../catalog/job-attempts.ts'
import { decisionsOf, environmentOf } from '../../catalog/job-environment.ts'
import { jobArtifacts, jobCheckpoints } from '../../catalog/job-files.ts'
import { settleAttempt } from '../../catalog/job-outcome.ts'
import { hasEnded } from '../../catalog/job-state.ts'
import { getJob, type JobRow, traceOf } from '../../catalog/jobs.ts'
import { evaluationTask } from '../../catalog/judged-version.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Claim, EventBatch, Heartbeat, Outcome } from '../../contract/internal.ts'
import type { Assignment } from '../../contract/job.ts'
import type { PublishedReport } from '../../contract/report.ts'
import { ServiceError } from '../../errors.ts'
import type { Dispatcher } from '../../service/dispatcher.ts'
import type { JobPlanner } from '../../service/job-planner.ts'
import type { Metrics } from '../../service/metrics.ts'
import { type WarmPublicationDeps, warmPublication } from '../warm-publication.ts'

export interface InternalJobOptions extends WarmPublicationDeps {
  readonly dispatcher: Dispatcher
  readonly planner: Pick<JobPlanner, 'allowance'>
  readonly metrics: Metrics
}

export const JobPath = Type.Object({ id: Type.String({ maxLength: 100 }) })

/** A report of a thousand classes has a confusion matrix of a million cells, times its variants. */
const outcomeLimit = 64 * 1024 * 1024
const eventsLimit = 16 * 1024 * 1024

export async function internalJobRoutes(instance: FastifyInstance, options: InternalJobOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs, dispatcher, planner, metrics } = options

  app.post(
    '/:id/attempts',
    { schema: { hide: true, params: JobPath, body: Claim } },
    async (request) => {
      const job = await claimJob(db, request.params.id, request.body)
      metrics.attemptBegun()
      return assignment(job, await planner.allowance(job), { db, blobs })
    }
  )

  app.post(
    '/:id/heartbeat',
    { schema: { hide: true, params: JobPath, body: Heartbeat } },
    async (request) => ({
      order: await beat(db, attemptOf(request), request.body.progress)
    })
  )

  app.post(
    '/:id/events',
    { bodyLimit: eventsLimit, schema: { hide: true, params: JobPath, body: EventBatch } },
    async (request, reply) => {
      const { n: batch, events } = request.body
      const isNew = await recordEvents(db, { ...attemptOf(request), batch }, events)
      if (isNew) metrics.attemptReported(events)
      return reply.code(204).send()
    }
  )

  app.post(
    '/:id/outcome',
    { bodyLimit: outcomeLimit, schema: { hide: true, params: JobPath, body: Outcome } },
    async (request) => {
      const attempt = attemptOf(request)
      await warmOutcome({ ...attempt, outcome: request.body }, options, request.log)
      // Read after the wait, or an outcome that came twice meanwhile would be counted twice.
      const before = await getJob(db, attempt.id)
      const job = await settleAttempt(db, attempt, request.body)
      // The same outcome may come twice: its first answer was lost.
      if (before.state === 'running') metrics.attemptEnded(request.body)
      if (before.state === 'running' && hasEnded(job.state)) {
        request.endedBy = before.worker
        await metrics.jobEnded(job.id)
      }
      await dispatcher.dispatch(job)
      await dispatcher.tidy()
      const version = job.result === null ? {} : { version: JSON.parse(job.result).version }
      return { state: job.state, ...version }
    }
  )
}

interface Reported extends AttemptRef {
  readonly outcome: Outcome
}

/**
 * Warms up what a completed attempt is about to publish. This decides nothing about the attempt: one that is
 * superseded, or whose job is to be given up, is only not warmed up for, and is judged in the transaction. The
 * worker goes on sending signs of life until it is answered, so the wait does not cost it the job.
 */
async function warmOutcome(
  { id, attempt, outcome }: Reported,
  deps: WarmPublicationDeps,
  log: FastifyBaseLogger
): Promise<void> {
  if (outcome.kind !== 'completed') return
  const job = await getJob(deps.db, id)
  if (job.state !== 'running' || job.attempt !== attempt || job.kind !== 'train') return
  if (job.order === 'cancel') return
  const { model, alias } = job
  const report = outcome.report as PublishedReport
  const next = { model, alias, report, artifacts: await jobArtifacts(deps.db, id) }
  await warmPublication(next, deps, log)
}

/**
 * What the worker that claimed `job` must know. Artifacts whose bytes are gone are left out, to be sent again;
 * such checkpoints are not, as the worker must know which of them are damaged.
 */
async function assignment(
  job: JobRow,
  allowance: Assignment['allowance'],
  { db, blobs }: Pick<InternalJobOptions, 'db' | 'blobs'>
): Promise<Assignment> {
  const checkpoints = await jobCheckpoints(db, job.id)
  const artifacts = await present(await jobArtifacts(db, job.id), blobs)
  const trace = traceOf(job)
  return {
    job: job.id,
    attempt: job.attempt,
    dataset: {
      id: job.dataset_id,
      name: job.dataset_name,
      version: known(job.dataset_version),
      hash: known(job.dataset_hash)
    },
    model: job.model,
    seed: job.seed,
    ...(await workOf(job, db)),
    secondsLeft: secondsLeft(job),
    environment: environmentOf(job),
    decisions: decisionsOf(job),
    allowance,
    checkpoints,
    artifacts: artifacts.map(({ file, sha256 }) => ({ name: file, sha256 })),
    ...(trace === undefined ? {} : { trace })
  }
}

/** What is to be done, by the kind of the job. */
const workOf = async (job: JobRow, db: Catalog) =>
  job.kind === 'evaluate'
    ? { kind: job.kind, evaluation: await evaluationTask(db, job) }
    : { kind: job.kind, recipe: JSON.parse(known(job.recipe)) }

async function present<T extends { readonly sha256: string }>(
  files: readonly T[],
  blobs: Blobs
): Promise<T[]> {
  const found: T[] = []
  for (const file of files) if (await blobs.has(file.sha256)) found.push(file)
  return found
}

/** The attempt that a request speaks for: the job of its address and the fencing token. */
export function attemptOf(request: FastifyRequest): AttemptRef {
  const { id } = request.params as { id: string }
  const given = request.headers['whittle-attempt']
  if (typeof given === 'string' && /^[1-9]\d{0,8}$/.test(given))
    return { id, attempt: Number(given) }
  throw new ServiceError('REQUEST_MALFORMED', {
    detail: `Cannot tell the attempt: Whittle-Attempt must be its number, received ${given}`
  })
}

/** Refuses a request of an attempt that does not hold the job, before its body is read. */
export const fence = (db: Catalog) => async (request: FastifyRequest) => {
  await fenced(db, attemptOf(request))
}

/** A claimed job has been planned. */
function known<T>(value: T | null): T {
  if (value === null) throw new TypeError('Cannot assign a job that has not been planned')
  return value
}
