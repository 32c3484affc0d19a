/**
 * Tells apart "nothing here" (404) and "not with this method" (405, with `Allow`: RFC 9110 15.5.6).
 *
 * Fastify's router answers both alike, so the routes are noted down while they are added.
 */
import type { FastifyInstance } from 'fastify'
import { ServiceError } from '../../errors.ts'

export function notFound(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set()
    for (const name of [method].flat()) known.add(name)
    methods.set(url, known)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? ''
    const allowed = [...methods].filter(([url]) => matches(url, path)).flatMap(([, m]) => [...m])
    if (allowed.length === 0) {
      throw new ServiceError('ROUTE_NOT_FOUND', {
        detail: `Cannot find ${path.slice(0, 200)}: GET /docs lists every address`
      })
    }
    const list = [...new Set(allowed)].sort().join(', ')
    reply.header('allow', list)
    throw new ServiceError('METHOD_NOT_ALLOWED', {
      detail: `Cannot ${request.method} ${path.slice(0, 200)}: the methods are ${list}`
    })
  })
}

/** Whether a path fits a route pattern such as `/v1/jobs/:id`. */
function matches(pattern: string, path: string): boolean {
  const expected = pattern.split('/')
  const given = path.split('/')
  return (
    expected.length === given.length &&
    expected.every((part, i) => (part.startsWith(':') ? given[i] !== '' : part === given[i]))
  )
}
