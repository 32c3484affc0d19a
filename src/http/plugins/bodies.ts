/**
 * Which bodies are read at all: JSON, and what a route's own plugin adds (images, uploads).
 *
 * Fastify reads `text/plain` by default and refuses an empty JSON body; here plain text is an
 * unsupported type, and an empty body is no body, as clients send one with `POST .../cancel`.
 */
import type { FastifyInstance } from 'fastify'

export function bodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(['text/plain', 'application/json'])
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body.length === 0) done(null, undefined)
    else void parse(request, body as string, done)
  })
}
