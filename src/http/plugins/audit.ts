/**
 * One line in the log for every change that was asked for: who, what, and what came of it.
 *
 * Written whatever `WHITTLE_LOG_LEVEL` says, and also for what was refused; never with bodies, keys or
 * query strings. Predictions and explanations change nothing. Of what workers tell, the end of a job is a change, and
 * its caller is the worker.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyRequest {
    /** The worker that has ended a job with this request. */
    endedBy: string | null
  }
}

/** To be called after the plugins whose hooks may still turn an answer into another one. */
export function audit(app: FastifyInstance): void {
  const log = app.log.child({ audit: true }, { level: 'info' })
  app.decorateRequest('endedBy', null)
  // Not `onResponse`, which is left out when the client has gone: the change has been made all the same.
  app.addHook('onSend', async (request, reply) => {
    if (request.endedBy !== null || isChange(request)) log.info(lineOf(request, reply))
  })
}

function isChange({ method, routeOptions: { url = '' } }: FastifyRequest): boolean {
  if (['GET', 'HEAD', 'OPTIONS'].includes(method)) return false
  return (
    /^\/v[12]\//.test(url) && !/\/(predictions|explanations|infer|repository\/index)$/.test(url)
  )
}

function lineOf(request: FastifyRequest, reply: FastifyReply) {
  const { endedBy, caller, method, routeOptions, url, id, ip, span } = request
  const location = reply.getHeader('location')
  return {
    caller: endedBy ?? caller?.id ?? null,
    method,
    route: routeOptions.url,
    path: url.split('?')[0]?.slice(0, 500),
    status: reply.statusCode,
    requestId: id,
    address: ip,
    ...(location === undefined ? {} : { location }),
    ...(span === null ? {} : { traceId: span.traceId })
  }
}
