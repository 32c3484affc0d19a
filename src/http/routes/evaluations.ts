/** `/v1/models/{name}/versions/{n}/evaluations`: judging a published version on any dataset, by a job. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { createEvaluation, listEvaluations } from '../../catalog/evaluations.ts'
import { judgedVersion } from '../../catalog/judged-version.ts'
import { EvaluationItem } from '../../contract/evaluation.ts'
import { EvaluationSpec, Job } from '../../contract/job.ts'
import { VersionPath } from '../../contract/model.ts'
import type { JobPlanner } from '../../service/job-planner.ts'
import { type QueueDeps, queueJob } from '../queue-job.ts'
import { problemResponses } from '../responses.ts'

export interface EvaluationRoutesOptions extends QueueDeps {
  readonly planner: JobPlanner
}

const EvaluationQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^job_[0-9a-z]{26}$' }))
  },
  { additionalProperties: false }
)

const EvaluationList = Type.Object(
  { items: Type.Array(EvaluationItem), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'EvaluationList' }
)

const tags = ['models']

export async function evaluationRoutes(instance: FastifyInstance, deps: EvaluationRoutesOptions) {
  const { db, planner } = deps
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.post(
    '/:name/versions/:version/evaluations',
    {
      config: { idempotency: 'body' },
      schema: {
        operationId: 'createEvaluation',
        tags,
        summary: 'Judge a version on a dataset, by a job whose result is the report',
        params: VersionPath,
        body: EvaluationSpec,
        response: { 202: Job, ...problemResponses(400, 404, 409, 413, 415, 422, 429, 507) }
      }
    },
    async (request, reply) => {
      const { name: model, version } = request.params
      const spec = { ...request.body, model, version }
      const planned = await planner.planEvaluation(spec, await judgedVersion(db, model, version))
      const trace = request.span?.context
      return queueJob({ request, reply }, deps, {
        async confirm(trx) {
          await planner.confirm(trx, planned)
          return judgedVersion(trx, model, version)
        },
        create: (trx, owner, judged) => createEvaluation(trx, { planned, judged, owner, trace })
      })
    }
  )

  app.get(
    '/:name/versions/:version/evaluations',
    {
      schema: {
        operationId: 'listEvaluations',
        tags,
        summary: 'Evaluations of a version, newest first',
        params: VersionPath,
        querystring: EvaluationQuery,
        response: { 200: EvaluationList, ...problemResponses(404, 422) }
      }
    },
    async ({ params, query }) => {
      const { modelId } = await judgedVersion(db, params.name, params.version)
      return listEvaluations(db, { modelId, version: params.version, ...query })
    }
  )
}
