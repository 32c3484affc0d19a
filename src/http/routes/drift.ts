/** `/v1/models/{name}/drift`: whether what a model is asked is still what it was validated on. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { DriftReport } from '../../contract/drift.ts'
import { ModelPath } from '../../contract/model.ts'
import type { Drift } from '../../service/drift.ts'
import { problemResponses } from '../responses.ts'

export interface DriftRoutesOptions {
  readonly drift: Pick<Drift, 'report'>
}

export async function driftRoutes(instance: FastifyInstance, { drift }: DriftRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.get(
    '/:name/drift',
    {
      schema: {
        operationId: 'getDrift',
        tags: ['models'],
        summary: 'How what a model was asked lately differs from what it was validated on',
        description:
          'Every image that is answered, over `/v1` and `/v2`, counts: its predicted class, the score of it, and mean and deviation of its pixels, which the inference process takes. No image is kept. The newest ones are compared with the reference by the population stability index.',
        params: ModelPath,
        response: { 200: DriftReport, ...problemResponses(404) }
      }
    },
    async ({ params }) => drift.report(params.name)
  )
}
