/**
 * Who may do what: bearer keys (RFC 6750) with a scope each.
 *
 * `predict` asks models, `train` also makes them, `admin` also removes them and looks after keys and
 * workers. Every route but health wants a key once keys are configured; `/internal` has a token of its own.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Caller, type KeyScope, keyScopes } from '../../contract/key.ts'
import { ServiceError } from '../../errors.ts'
import type { KeyRing, Lookup } from '../../service/key-ring.ts'
import { bearer } from '../worker-token.ts'
import { cutOff } from './cut-off.ts'
import { rateLimits } from './rate-limit.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Null without keys, where no key is needed, and of who is refused. */
    caller: Caller | null
  }
}

/** Without keys nothing is asked for; the host check stands in (`local-only.ts`). */
export async function auth(app: FastifyInstance, keys: KeyRing): Promise<void> {
  app.decorateRequest('caller', null)
  if (!keys.isConfigured) return
  const checkRate = await rateLimits(app)
  const watch = cutOff(app, keys)
  app.addHook('onRequest', async (request, reply) => {
    const { method, routeOptions } = request
    const needed = neededScope({ method, url: routeOptions.url })
    if (needed === null) return
    const found = identify(keys, request)
    if ('caller' in found) request.caller = found.caller
    await checkRate(request, reply)
    if ('refusal' in found) throw refusal(found.refusal)
    requireScope(request, needed)
    watch(found.caller, reply)
  })
}

function identify(keys: KeyRing, request: FastifyRequest): Lookup {
  const given = bearer(request)
  return given === undefined ? { refusal: 'no key was received' } : keys.find(given)
}

const refusal = (reason: string): ServiceError =>
  new ServiceError('UNAUTHENTICATED', {
    detail: `Cannot let the request in: ${reason}; send Authorization: Bearer KEY`
  })

/**
 * For what a route may do beyond its own scope. Without keys everything may be done.
 *
 * @throws ServiceError FORBIDDEN
 */
export function requireScope(request: FastifyRequest, needed: KeyScope): void {
  const { caller } = request
  if (caller === null || keyScopes.indexOf(caller.scope) >= keyScopes.indexOf(needed)) return
  throw new ServiceError('FORBIDDEN', {
    detail: `Cannot ${request.method} here: scope ${needed} is needed, received ${caller.scope}`
  })
}

/** What a route's pattern (never the address itself, which callers choose) asks for. */
interface Route {
  readonly method: string
  /** Undefined where there is no route. */
  readonly url: string | undefined
}

/** The least scope that a route needs, or null when it needs none. */
export function neededScope({ method, url: pattern = '' }: Route): KeyScope | null {
  // `/v1/engine/` is `/v1/engine`.
  const url = pattern.replace(/\/+$/, '')
  if (/^(\/v2)?\/health\//.test(url) || url.startsWith('/internal/v1/')) return null
  if (/^\/v1\/(keys|workers)(\/|$)/.test(url)) return 'admin'
  const reads = method === 'GET' || method === 'HEAD'
  const isModel = /^\/v1\/models(\/|$)/.test(url)
  if (isModel && (reads || askModels.includes(url))) return 'predict'
  if (isModel && method === 'DELETE') return 'admin'
  // Whoever asks models may look around; to load and unload them is to decide for others.
  if (/^\/v2(\/|$)/.test(url)) return /\/(load|unload)$/.test(url) ? 'admin' : 'predict'
  return reads && openToAll.includes(url) ? 'predict' : 'train'
}

const askModels = ['predictions', 'explanations', 'feedback'].map(
  (what) => `/v1/models/:name/${what}`
)
const openToAll = ['/v1/engine', '/metrics', '/docs', '/openapi.json', '/problems/:code']
