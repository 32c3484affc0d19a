/**
 * Who may do what: bearer keys (RFC 6750) with a scope each.
 *
 * `predict` asks models, `train` also makes them, `admin` also removes them. Every route but health
 * wants a key once keys are configured; `/internal` has a token of its own.
 */
import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type ApiKey, type KeyScope, keyScopes } from '../../config.ts'
import { ServiceError } from '../../errors.ts'
import { bearer, digest } from '../worker-token.ts'

interface KnownKey {
  readonly digest: Buffer
  readonly scope: KeyScope
}

/** Without keys nothing is asked for; the host check stands in (`local-only.ts`). */
export function auth(app: FastifyInstance, keys: readonly ApiKey[]): void {
  if (keys.length === 0) return
  const known: readonly KnownKey[] = keys.map(({ key, scope }) => ({ digest: digest(key), scope }))
  app.addHook('onRequest', async (request) => {
    const { method, routeOptions } = request
    const needed = neededScope({ method, url: routeOptions.url })
    if (needed !== null) check(request, known, needed)
  })
}

function check(request: FastifyRequest, known: readonly KnownKey[], needed: KeyScope): void {
  const given = bearer(request)
  // Every key is compared, so that the time tells nothing about which one came close.
  const wanted = digest(given ?? '')
  const found = known.filter((key) => timingSafeEqual(key.digest, wanted))[0]
  if (given === undefined || found === undefined) {
    const reason = given === undefined ? 'no key was received' : 'the key is not known'
    throw new ServiceError('UNAUTHENTICATED', {
      detail: `Cannot let the request in: ${reason}; send Authorization: Bearer KEY`
    })
  }
  if (keyScopes.indexOf(found.scope) >= keyScopes.indexOf(needed)) return
  throw new ServiceError('FORBIDDEN', {
    detail: `Cannot ${request.method} here: scope ${needed} is needed, received ${found.scope}`
  })
}

/** What a route's pattern (never the address itself, which callers choose) asks for. */
interface Route {
  readonly method: string
  /** Undefined where there is no route. */
  readonly url: string | undefined
}

/** The least scope that a route needs, or null when it needs none. */
export function neededScope({ method, url = '' }: Route): KeyScope | null {
  if (url.startsWith('/health/') || url.startsWith('/internal/v1/')) return null
  const reads = method === 'GET' || method === 'HEAD'
  const isModel = /^\/v1\/models(\/|$)/.test(url)
  if (isModel && (reads || url === '/v1/models/:name/predictions')) return 'predict'
  if (isModel && method === 'DELETE') return 'admin'
  return reads && openToAll.includes(url) ? 'predict' : 'train'
}

const openToAll = ['/v1/engine', '/v1/engine/', '/docs', '/openapi.json', '/problems/:code']
