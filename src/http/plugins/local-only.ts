/**
 * Keeps web pages out of a service without keys.
 *
 * It listens on loopback, but every page that the owner of the machine visits can send requests there:
 * directly (the browser then names the page in `Origin`), or through a name of its own that resolves to
 * 127.0.0.1 (then `Host` is that name: DNS rebinding).
 */
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../../config.ts'
import { ServiceError } from '../../errors.ts'

export function localOnly(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ headers }) => {
    const host = headers.host ?? headers[':authority']
    refuseUnlessLocal('Host', typeof host === 'string' ? `http://${host}` : '')
    if (headers.origin !== undefined) refuseUnlessLocal('Origin', headers.origin)
  })
}

function refuseUnlessLocal(header: string, address: string): void {
  const name = URL.canParse(address) ? new URL(address).hostname.replace(/^\[|\]$/g, '') : ''
  if (isLoopback(name)) return
  throw new ServiceError('HOST_NOT_ALLOWED', {
    detail: `Cannot let the request in: without WHITTLE_API_KEYS ${header} must be a loopback name, received ${address.slice(0, 200)}`
  })
}
