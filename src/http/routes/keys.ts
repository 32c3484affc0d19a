/** `/v1/keys`: API keys as admins make, limit and revoke them. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { getKey, type KeyRow, listKeys } from '../../catalog/keys.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Key, KeyChange, KeySpec, NewKey } from '../../contract/key.ts'
import { ServiceError } from '../../errors.ts'
import type { KeyRing } from '../../service/key-ring.ts'
import type { Quotas } from '../../service/quotas.ts'
import { noContent, problemResponses } from '../responses.ts'

export interface KeyRoutesOptions {
  readonly db: Catalog
  readonly keys: KeyRing
  readonly quotas: Quotas
}

const KeyPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })
const KeyQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^key_[0-9a-z]{26}$' }))
  },
  { additionalProperties: false }
)
const KeyList = Type.Object(
  { items: Type.Array(Key), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'KeyList' }
)

const tags = ['keys']

export async function keyRoutes(instance: FastifyInstance, options: KeyRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, keys, quotas } = options
  const withUsage = async (row: KeyRow): Promise<Key> =>
    keyDocument(row, await quotas.usage(db, row.id))

  app.post(
    '/',
    {
      config: { idempotency: 'secret' },
      schema: {
        operationId: 'createKey',
        tags,
        summary: 'Make a key; the answer is the only place where it is shown',
        body: KeySpec,
        response: { 201: NewKey, ...problemResponses(400, 409, 413, 415, 422) }
      }
    },
    async (request, reply) => {
      const { body: spec } = request
      assertInFuture(spec.expiresAt)
      const { location, body } = await keys.create(spec, async (trx, { row, key }) => {
        const made: NewKey = { ...keyDocument(row, await quotas.usage(trx, row.id)), key }
        const answer = { status: 201, location: `/v1/keys/${row.id}`, body: made } as const
        await request.rememberAnswer(trx, answer)
        return answer
      })
      return reply.code(201).header('location', location).send(body)
    }
  )

  app.get(
    '/',
    {
      schema: {
        operationId: 'listKeys',
        tags,
        summary: 'Keys made over REST, newest first, with what they use today',
        querystring: KeyQuery,
        response: { 200: KeyList, ...problemResponses(422) }
      }
    },
    async ({ query }) => {
      const { rows, next } = await listKeys(db, query)
      return { items: await Promise.all(rows.map(withUsage)), next }
    }
  )

  app.get(
    '/:id',
    {
      schema: {
        operationId: 'getKey',
        tags,
        summary: 'A key with what it uses today; never the key itself',
        params: KeyPath,
        response: { 200: Key, ...problemResponses(404) }
      }
    },
    async ({ params }) => withUsage(await getKey(db, params.id))
  )

  app.patch(
    '/:id',
    {
      schema: {
        operationId: 'changeKey',
        tags,
        summary: 'Rename a key, replace its limits, or let it expire',
        params: KeyPath,
        body: KeyChange,
        response: { 200: Key, ...problemResponses(404, 422) }
      }
    },
    async ({ params, body }) => {
      assertInFuture(body.expiresAt)
      return withUsage(await keys.change(params.id, body))
    }
  )

  app.delete(
    '/:id',
    {
      schema: {
        operationId: 'revokeKey',
        tags,
        summary: 'Revoke a key: it opens nothing from now on, and what it made stays',
        params: KeyPath,
        response: { 204: noContent, ...problemResponses(404) }
      }
    },
    async ({ params }, reply) => {
      await keys.revoke(params.id)
      return reply.code(204).send()
    }
  )
}

function keyDocument(row: KeyRow, usage: Key['usage']): Key {
  const { id, name, scope, limits } = row
  const times = {
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at
  }
  return { id, name, scope, limits: JSON.parse(limits), ...times, usage }
}

/** Also refuses what the pattern lets through and is no time, such as the 30th of February. */
function assertInFuture(expiresAt: string | null | undefined): void {
  if (expiresAt === null || expiresAt === undefined || Date.parse(expiresAt) > Date.now()) return
  throw new ServiceError('REQUEST_INVALID', {
    detail: 'Cannot accept the request body: one fault found',
    errors: [{ pointer: '/expiresAt', detail: 'must be a time in the future', received: expiresAt }]
  })
}
