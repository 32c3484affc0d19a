/** `/v1/models/{name}/aliases/{alias}`: names that point at versions of a model. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  checkChange,
  deleteAlias,
  type Preconditions,
  readAlias,
  setAlias
} from '../../catalog/aliases.ts'
import { AliasChange, AliasPath } from '../../contract/model.ts'
import { AliasState } from '../../contract/promotion.ts'
import { gone } from '../gone.ts'
import { noContent, problemResponses } from '../responses.ts'
import { type WarmDeps, warmTargets } from '../warm-targets.ts'
import type { ModelRoutesOptions } from './models.ts'

const tags = ['models']
const url = '/:name/aliases/:alias'

export async function aliasRoutes(
  instance: FastifyInstance,
  options: Pick<ModelRoutesOptions, 'db' | keyof WarmDeps>
) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db } = options

  app.get(
    url,
    {
      schema: {
        operationId: 'getAlias',
        tags,
        summary:
          'Where an alias points, what watches it and what happened to it, with its entity tag',
        params: AliasPath,
        response: { 200: AliasState, ...problemResponses(404) }
      }
    },
    async ({ params }, reply) => {
      const { alias, etag } = await readAlias(db, params.name, params.alias)
      return reply.header('etag', etag).send(alias)
    }
  )

  app.put(
    url,
    {
      schema: {
        operationId: 'setAlias',
        tags,
        summary: 'Point an alias at a version, or share the traffic among several',
        params: AliasPath,
        body: AliasChange,
        response: { 200: AliasState, 201: AliasState, ...problemResponses(404, 412, 422) }
      }
    },
    async (request, reply) => {
      const { name: model, alias } = request.params
      const change = request.body
      const signal = gone(reply)
      const checked = { change, ...preconditions(request) }
      const { targets, unchanged } = await checkChange(db, { model, alias }, checked)
      await warmTargets({ model, targets }, options, request.log)
      signal.throwIfAborted()
      const set = await setAlias(db, { model, alias }, { change, ...unchanged })
      reply.header('etag', set.etag)
      if (set.created) reply.code(201).header('location', `/v1/models/${model}/aliases/${alias}`)
      return reply.send(set.alias)
    }
  )

  app.delete(
    url,
    {
      schema: {
        operationId: 'deleteAlias',
        tags,
        summary: 'Delete an alias; the versions stay',
        params: AliasPath,
        response: { 204: noContent, ...problemResponses(404, 412) }
      }
    },
    async (request, reply) => {
      const { name: model, alias } = request.params
      await deleteAlias(db, { model, alias }, preconditions(request))
      return reply.code(204).send()
    }
  )
}

export const preconditions = ({ headers }: FastifyRequest): Preconditions => ({
  ifMatch: headers['if-match'],
  ifNoneMatch: headers['if-none-match']
})
