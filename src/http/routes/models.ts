/** `/v1/models`: what jobs have published, as callers list, read and delete it. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  deleteModel,
  deleteVersion,
  listModels,
  readModel,
  readVersion
} from '../../catalog/models.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Model, ModelPath, ModelVersion, VersionPath } from '../../contract/model.ts'
import type { Dispatcher } from '../../service/dispatcher.ts'
import { noContent, problemResponses } from '../responses.ts'
import type { WarmDeps } from '../warm-targets.ts'
import { aliasRoutes } from './aliases.ts'
import { artifactRoutes } from './artifacts.ts'
import { promotionRoutes } from './promotion.ts'

export interface ModelRoutesOptions extends WarmDeps {
  readonly db: Catalog
  readonly dispatcher: Pick<Dispatcher, 'tidy'>
}

const ModelQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,14}$' }))
  },
  { additionalProperties: false }
)

const ModelList = Type.Object(
  { items: Type.Array(Model), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'ModelList' }
)

const tags = ['models']

export async function modelRoutes(instance: FastifyInstance, options: ModelRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs, dispatcher, served, engines, models } = options

  app.get(
    '/',
    {
      schema: {
        operationId: 'listModels',
        tags,
        summary: 'Models, newest first',
        querystring: ModelQuery,
        response: { 200: ModelList, ...problemResponses(422) }
      }
    },
    async ({ query: { limit, cursor } }) => {
      const before = cursor === undefined ? null : Number(cursor)
      const { items, next } = await listModels(db, { limit, before })
      return { items, next: next === null ? null : String(next) }
    }
  )

  app.get(
    '/:name',
    {
      schema: {
        operationId: 'getModel',
        tags,
        summary: 'A model with its aliases and versions',
        params: ModelPath,
        response: { 200: Model, ...problemResponses(404) }
      }
    },
    async ({ params }) => readModel(db, params.name)
  )

  app.delete(
    '/:name',
    {
      schema: {
        operationId: 'deleteModel',
        tags,
        summary: 'Delete a model with its versions and aliases',
        params: ModelPath,
        response: { 204: noContent, ...problemResponses(404, 409) }
      }
    },
    async ({ params }, reply) => {
      await dispatcher.tidy(await deleteModel(db, params.name))
      return reply.code(204).send()
    }
  )

  app.get(
    '/:name/versions/:version',
    {
      schema: {
        operationId: 'getModelVersion',
        tags,
        summary: 'A version with everything that was measured of it',
        params: VersionPath,
        response: { 200: ModelVersion, ...problemResponses(404) }
      }
    },
    async ({ params }) => readVersion(db, params.name, params.version)
  )

  app.delete(
    '/:name/versions/:version',
    {
      schema: {
        operationId: 'deleteModelVersion',
        tags,
        summary: 'Delete a version that no alias points at and no evaluation reads',
        params: VersionPath,
        response: { 204: noContent, ...problemResponses(404, 409) }
      }
    },
    async ({ params }, reply) => {
      await dispatcher.tidy(await deleteVersion(db, params.name, params.version))
      return reply.code(204).send()
    }
  )

  await app.register(artifactRoutes, { db, blobs })
  const moving = { db, served, engines, blobs, models }
  await app.register(aliasRoutes, moving)
  await app.register(promotionRoutes, moving)
}
