/**
 * Refuses what arrives on open connections once the service has begun to end.
 *
 * Fastify would answer 503 by itself, but not with a problem document.
 */
import type { FastifyInstance } from 'fastify'
import { ServiceError } from '../../errors.ts'

export function shutdown(app: FastifyInstance): void {
  let ending = false
  app.addHook('preClose', async () => {
    ending = true
  })
  app.addHook('onRequest', async (_request, reply) => {
    if (!ending) return
    reply.header('connection', 'close')
    throw new ServiceError('SHUTTING_DOWN', {
      detail: 'Cannot take the request: the service is shutting down',
      retryAfter: 5
    })
  })
}
