/**
 * Describes the api from its route schemas: `GET /openapi.json`, and for people `GET /docs`.
 *
 * Schemas are written into routes whole; here each one that has an `$id` becomes a component, so that
 * the document says a thing once and generated clients get its name.
 */
import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { ServiceError } from '../../errors.ts'
import { docsPage } from '../docs-page.ts'
import { problemExplanation } from '../problem-explanation.ts'

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

/** Moves every schema with an `$id` to the components and refers to it instead. */
function withComponents(document: OpenApiDocument): OpenApiDocument {
  const schemas: Record<string, Json> = {}
  const hoist = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(hoist)
    if (typeof value !== 'object' || value === null) return value
    const { $id, ...members } = value as { readonly [key: string]: Json }
    const hoisted = Object.fromEntries(Object.entries(members).map(([k, v]) => [k, hoist(v)]))
    if (typeof $id !== 'string') return hoisted
    schemas[$id] = hoisted
    return { $ref: `#/components/schemas/${$id}` }
  }
  const paths = hoist(document.paths as unknown as Json) as unknown as OpenApiDocument['paths']
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
  return { ...document, paths, components: { ...document.components, schemas: sorted } }
}
