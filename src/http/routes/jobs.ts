/** `/v1/jobs`: jobs as callers post, follow, stop and delete them. */
import { Readable } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { evaluationReport } from '../../catalog/evaluations.ts'
import { jobDocument, wholeDocument } from '../../catalog/job-document.ts'
import {
  cancelJob,
  createJob,
  deleteJob,
  getJob,
  jobLogs,
  jobMetrics,
  listJobs,
  stopJob
} from '../../catalog/jobs.ts'
import { logLimits } from '../../catalog/migration/0004-job-events.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Job, JobSpec, jobKinds, jobStates, Metric } from '../../contract/job.ts'
import type { Dispatcher } from '../../service/dispatcher.ts'
import type { JobPlanner } from '../../service/job-planner.ts'
import type { Quotas } from '../../service/quotas.ts'
import { queueJob } from '../queue-job.ts'
import { noContent, problemResponses } from '../responses.ts'

export interface JobRoutesOptions {
  readonly db: Catalog
  readonly planner: JobPlanner
  readonly dispatcher: Dispatcher
  readonly quotas: Quotas
}

const JobPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })

const JobQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^job_[0-9a-z]{26}$' })),
    state: Type.Optional(Type.Enum(jobStates)),
    kind: Type.Optional(Type.Enum(jobKinds)),
    parent: Type.Optional(Type.String({ maxLength: 100 }))
  },
  { additionalProperties: false }
)
type JobQuery = Static<typeof JobQuery>

const JobList = Type.Object(
  { items: Type.Array(Job), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'JobList' }
)
const MetricList = Type.Object({ items: Type.Array(Metric) }, { $id: 'MetricList' })

const LogText = Type.Unsafe<Readable>({ type: 'string' })

const tags = ['jobs']

export async function jobRoutes(instance: FastifyInstance, options: JobRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, planner, dispatcher } = options

  app.post(
    '/',
    {
      // Schema faults are answered together with what the catalogue and the planner find.
      attachValidation: true,
      config: { idempotency: 'body' },
      schema: {
        operationId: 'createJob',
        tags,
        summary: 'Train, prune and quantize a classifier',
        body: JobSpec,
        response: { 202: Job, ...problemResponses(400, 409, 413, 415, 422, 429, 507) }
      }
    },
    async (request, reply) => {
      if (request.validationError !== undefined) {
        throw await planner.extend(request.validationError, request.body)
      }
      const planned = await planner.plan(request.body)
      const trace = request.span?.context
      return queueJob({ request, reply }, options, {
        confirm: (trx) => planner.confirm(trx, planned),
        create: (trx, owner) => createJob(trx, { ...planned, owner, trace })
      })
    }
  )

  app.get(
    '/',
    {
      schema: {
        operationId: 'listJobs',
        tags,
        summary: 'Jobs, newest first',
        querystring: JobQuery,
        response: { 200: JobList, ...problemResponses(422) }
      }
    },
    async (request) => {
      const { rows, next } = await listJobs(db, request.query as JobQuery)
      return { items: rows.map((row) => jobDocument(row)), next }
    }
  )

  app.get(
    '/:id',
    {
      schema: {
        operationId: 'getJob',
        tags,
        summary: 'One job',
        params: JobPath,
        response: { 200: Job, ...problemResponses(404) }
      }
    },
    async (request) => {
      const job = await getJob(db, request.params.id)
      return wholeDocument(job, await evaluationReport(db, job.id))
    }
  )

  app.get(
    '/:id/metrics',
    {
      schema: {
        operationId: 'getJobMetrics',
        tags,
        summary: 'Every epoch of every stage',
        params: JobPath,
        response: { 200: MetricList, ...problemResponses(404) }
      }
    },
    async (request) => {
      const { id } = await getJob(db, request.params.id)
      return { items: await jobMetrics(db, id) }
    }
  )

  app.get(
    '/:id/logs',
    {
      schema: {
        operationId: 'getJobLogs',
        tags,
        summary: 'The log as text',
        params: JobPath,
        response: {
          200: {
            description: 'One line each',
            content: { 'text/plain': { schema: LogText } }
          },
          ...problemResponses(404)
        }
      }
    },
    async (request, reply) => {
      const { id } = await getJob(db, request.params.id)
      return reply.type('text/plain; charset=utf-8').send(Readable.from(logText(db, id)))
    }
  )

  for (const [verb, act, summary] of orders) {
    app.post(
      `/:id/${verb}`,
      {
        schema: {
          operationId: `${verb}Job`,
          tags,
          summary,
          params: JobPath,
          response: { 202: Job, ...problemResponses(404, 409) }
        }
      },
      async (request, reply) => {
        const job = await act(db, request.params.id)
        if (job.state === 'cancelled') await dispatcher.tidy()
        return reply.code(202).send(jobDocument(job))
      }
    )
  }

  app.delete(
    '/:id',
    {
      schema: {
        operationId: 'deleteJob',
        tags,
        summary: 'Forget a job that has ended; what it published stays',
        params: JobPath,
        response: { 204: noContent, ...problemResponses(404, 409) }
      }
    },
    async (request, reply) => {
      await deleteJob(db, request.params.id)
      return reply.code(204).send()
    }
  )
}

const orders = [
  ['cancel', cancelJob, 'Give a job up'],
  ['stop', stopJob, 'End the training now and publish the best so far']
] as const

const linesAtOnce = 500

async function* logText(db: Catalog, id: string): AsyncGenerator<string> {
  let place = 0
  for (let after = 0; ; ) {
    const rows = await jobLogs(db, id, after, linesAtOnce)
    let text = ''
    for (const { n, at, level, message } of rows) {
      if (n > place + 1) text += omission(n - place - 1, at)
      place = n
      text += `${at} ${level} ${message}\n`
    }
    yield text
    const last = rows.at(-1)
    if (last === undefined || rows.length < linesAtOnce) return
    after = last.seq
  }
}

const omission = (lines: number, at: string): string =>
  `${at} warn ${lines} lines left out here: of a log, the first ${logLimits.first} and the newest ${logLimits.newest} are kept\n`
