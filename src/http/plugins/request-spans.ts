/**
 * A span for every request, as part of the caller's trace if it sends one
 * (opentelemetry.io/docs/specs/semconv/http/http-spans). Its trace id is in every line that the request logs.
 *
 * No bodies, no query strings, no headers: addresses and user agents are all that it tells of a caller.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { TraceContext } from '../../contract/trace.ts'
import type { Span, Tracing } from '../../trace/tracing.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Null where nothing is traced. */
    span: Span | null
  }
}

/** Asked all the time, by machines. */
const untraced = /^(\/v2)?\/health\/|^\/metrics$|^\/internal\/v1\/(workers\/|.*\/heartbeat$)/

export function requestSpans(app: FastifyInstance, tracing: Tracing): void {
  app.decorateRequest('span', null)
  if (!tracing.isOn) return
  app.addHook('onRequest', async (request, reply) => {
    const { url: route = '' } = request.routeOptions
    if (untraced.test(route)) return
    const span = tracing.start(nameOf(request), {
      kind: 'server',
      parent: parentOf(request),
      attributes: attributesOf(request)
    })
    request.span = span
    request.log = request.log.child({ traceId: span.traceId })
    // `onResponse` is left out when the client has gone.
    reply.raw.once('close', () => end(span, reply))
  })
}

function end(span: Span, reply: FastifyReply): void {
  const { statusCode, raw } = reply
  span.set({ 'http.response.status_code': statusCode })
  if (!raw.writableFinished) span.fail('broken_off', 'the client has gone, or was cut off')
  else if (statusCode >= 500) span.fail(String(statusCode))
  span.end()
}

/** Never the address, of which there are too many. */
function nameOf({ method, routeOptions: { url } }: FastifyRequest): string {
  return url === undefined ? method : `${method} ${url}`
}

function attributesOf(request: FastifyRequest) {
  const { method, url, routeOptions, ip, id, headers, protocol } = request
  return {
    'http.request.method': method,
    'http.route': routeOptions.url,
    'url.path': url.split('?')[0]?.slice(0, 500),
    'url.scheme': protocol,
    'client.address': ip,
    'user_agent.original': headers['user-agent']?.slice(0, 200),
    'whittle.request_id': id
  }
}

function parentOf({ headers }: FastifyRequest): TraceContext | undefined {
  const { traceparent, tracestate } = headers
  if (typeof traceparent !== 'string' || traceparent.length > 100) return undefined
  const isUsable = typeof tracestate === 'string' && tracestate.length <= 512
  return isUsable ? { traceparent, tracestate } : { traceparent }
}
