/**
 * Describes the api from its route schemas: `GET /openapi.json`, and for people `GET /docs`.
 *
 * Schemas are written into routes whole; here each one that has an `$id` becomes a component, so that
 * the document says a thing once and generated clients get its name.
 */
import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ProtocolError } from '../../contract/inference.ts'
import { ServiceError } from '../../errors.ts'
import { docsPage } from '../docs-page.ts'
import { problemExplanation } from '../problem-explanation.ts'
import { problemResponses } from '../responses.ts'

export interface OpenApiDocument {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<string, unknown>>
}

export interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly tags?: readonly string[]
}

/** To be called before any route is added: it listens to their being added. */
export async function openapi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'whittle',
        version,
        description: 'Turns labelled images into a small, fast image classifier, and serves it.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      // A key is needed only where keys are configured.
      security: [{}, { key: [] }]
    },
    transform: ({ schema, url, route }) => {
      const headers = route.config?.idempotency === undefined ? {} : { headers: idempotencyHeader }
      const usual = { ...refusals(url), ...(url.startsWith('/v2') ? {} : always(route.method)) }
      const response = { ...usual, ...(schema?.response as object | undefined) }
      const whole = { ...headers, ...schema, response }
      return { schema: marked(whole as unknown as Json) as never, url }
    }
  })
  const document = describer(app)
  app.get('/openapi.json', { schema: { hide: true } }, async () => document())
  app.get('/docs', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').serializer(String).send(docsPage(document()))
  )
  app.get<{ Params: { code: string } }>(
    '/problems/:code',
    { schema: { hide: true } },
    async (request) => {
      const explanation = problemExplanation(request.params.code)
      if (explanation !== undefined) return explanation
      throw new ServiceError('ROUTE_NOT_FOUND', { detail: 'Cannot find a problem of this name' })
    }
  )
}

/** The document of a ready app, made once. */
export function describer(app: FastifyInstance): () => OpenApiDocument {
  let document: OpenApiDocument | undefined
  return () => {
    document ??= withComponents(app.swagger() as unknown as OpenApiDocument)
    return document
  }
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Where keys are configured, every route but health wants one. */
const refusals = (url: string): object => {
  if (/^(\/v2)?\/health/.test(url)) return {}
  return url.startsWith('/v2')
    ? { 401: ProtocolError, 403: ProtocolError }
    : problemResponses(401, 403)
}

/** What whatever has a body may be answered: it cannot be read, or it does not fit. */
const always = (method: string | string[]): object =>
  ['POST', 'PUT', 'PATCH'].some((name) => [method].flat().includes(name))
    ? problemResponses(400, 422)
    : {}

const idempotencyHeader = Type.Object({
  'Idempotency-Key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'The same key and payload gives the first answer again, for a day'
    })
  )
})

/** The generator makes names of its own (`def-0`) for `$id`s; under another key it leaves them be. */
const mark = 'x-component'

function marked(value: Json): Json {
  if (Array.isArray(value)) return value.map(marked)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key === '$id' ? mark : key, marked(member)])
  )
}

const hasDefault = (schema: Json | undefined): boolean =>
  typeof schema === 'object' && schema !== null && 'default' in schema

/**
 * Moves every schema with a name to the components and refers to it instead; corrects what the
 * generator gets wrong: a parameter with a default need not be given, and answers have a meaning.
 */
function withComponents(document: OpenApiDocument): OpenApiDocument {
  const schemas: Record<string, Json> = {}
  const hoist = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(hoist)
    if (typeof value !== 'object' || value === null) return value
    const { [mark]: name, ...members } = value as { readonly [key: string]: Json }
    const hoisted = Object.fromEntries(Object.entries(members).map(([k, v]) => [k, hoist(v)]))
    if (hoisted.in === 'query' && hasDefault(hoisted.schema)) return { ...hoisted, required: false }
    if (hoisted.description === 'Default Response') return { ...hoisted, description: 'Success' }
    if (typeof name !== 'string') return hoisted
    schemas[name] = hoisted
    return { $ref: `#/components/schemas/${name}` }
  }
  const paths = hoist(document.paths as unknown as Json) as unknown as OpenApiDocument['paths']
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
  return { ...document, paths, components: { ...document.components, schemas: sorted } }
}
