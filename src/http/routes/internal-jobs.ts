/** `/internal/v1/jobs`: what workers say about the jobs they hold (contract/internal.ts). */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import { beat, claimJob, fenced, recordEvents, secondsLeft } from '../../catalog/job-attempts.ts'
import { jobCheckpoints } from '../../catalog/job-files.ts'
import { settleAttempt } from '../../catalog/job-outcome.ts'
import type { JobRow } from '../../catalog/jobs.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Claim, EventBatch, Heartbeat, Outcome } from '../../contract/internal.ts'
import type { Assignment } from '../../contract/job.ts'
import { ServiceError } from '../../errors.ts'
import type { Dispatcher } from '../dispatcher.ts'

export interface InternalJobOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly dispatcher: Dispatcher
}

export const JobPath = Type.Object({ id: Type.String({ maxLength: 100 }) })

/** A report of a thousand classes has a confusion matrix of a million cells, times its variants. */
const outcomeLimit = 64 * 1024 * 1024
const eventsLimit = 16 * 1024 * 1024

export async function internalJobRoutes(instance: FastifyInstance, options: InternalJobOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs, dispatcher } = options

  app.post(
    '/:id/attempts',
    { schema: { hide: true, params: JobPath, body: Claim } },
    async (request) => assignment(await claimJob(db, request.params.id, request.body), db, blobs)
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
      await recordEvents(db, attemptOf(request), request.body.events)
      return reply.code(204).send()
    }
  )

  app.post(
    '/:id/outcome',
    { bodyLimit: outcomeLimit, schema: { hide: true, params: JobPath, body: Outcome } },
    async (request) => {
      const job = await settleAttempt(db, attemptOf(request), request.body)
      await dispatcher.dispatch(job)
      await dispatcher.tidy()
      const version = job.result === null ? {} : { version: JSON.parse(job.result).version }
      return { state: job.state, ...version }
    }
  )
}

/** What the worker that claimed `job` must know. Checkpoints whose bytes are gone are left out. */
async function assignment(job: JobRow, db: Catalog, blobs: Blobs): Promise<Assignment> {
  const checkpoints = []
  for (const file of await jobCheckpoints(db, job.id)) {
    if (await blobs.has(file.sha256)) checkpoints.push(file)
  }
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
    recipe: JSON.parse(known(job.recipe)),
    secondsLeft: secondsLeft(job),
    checkpoints
  }
}

/** The attempt that a request speaks for: the job of its address and the fencing token. */
export function attemptOf(request: FastifyRequest): {
  readonly id: string
  readonly attempt: number
} {
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
