/** `POST /v1/models/{name}/aliases/{alias}/promote`: an alias moves if the version passes a gate. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { checkPromotion, promoteAlias } from '../../catalog/promote.ts'
import { AliasPath } from '../../contract/model.ts'
import { Promotion, PromotionAnswer } from '../../contract/promotion.ts'
import { compareGate } from '../../service/gate.ts'
import { gone } from '../gone.ts'
import { problemResponses } from '../responses.ts'
import { type WarmDeps, warmTargets } from '../warm-targets.ts'
import { preconditions } from './aliases.ts'
import type { ModelRoutesOptions } from './models.ts'

export async function promotionRoutes(
  instance: FastifyInstance,
  options: Pick<ModelRoutesOptions, 'db' | keyof WarmDeps>
) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db } = options

  app.post(
    '/:name/aliases/:alias/promote',
    {
      config: { idempotency: 'body' },
      schema: {
        operationId: 'promoteAlias',
        tags: ['models'],
        summary: 'Point an alias at a version that passes a gate, or leave it as it is',
        params: AliasPath,
        body: Promotion,
        response: {
          200: PromotionAnswer,
          201: PromotionAnswer,
          ...problemResponses(404, 409, 412, 422)
        }
      }
    },
    async (request, reply) => {
      const { name: model, alias } = request.params
      const wish = { promotion: request.body, compare: compareGate }
      const signal = gone(reply)
      const checked = { ...wish, ...preconditions(request) }
      const { to, unchanged } = await checkPromotion(db, { model, alias }, checked)
      await warmTargets({ model, targets: [to] }, options, request.log)
      signal.throwIfAborted()
      const promoted = await promoteAlias(db, { model, alias }, { ...wish, ...unchanged })
      const { answer, etag, created } = promoted
      reply.header('etag', etag)
      if (created) reply.code(201).header('location', `/v1/models/${model}/aliases/${alias}`)
      return reply.send(answer)
    }
  )
}
