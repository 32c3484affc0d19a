/**
 * The only writer of `application/problem+json` (RFC 9457), and of `{ error }` below `/v2`.
 *
 * A ServiceError says itself what it is; what Fastify and Node refuse is translated; anything else is
 * a bug and becomes an opaque 500 whose cause is in the log under the same request id.
 */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Problem } from '../../contract/problem.ts'
import { asDiskError, type ErrorCode, errorCatalogue, ServiceError } from '../../errors.ts'

export const problemType = 'application/problem+json'

interface Occurrence {
  readonly instance?: string
  readonly requestId?: string
}

/** The problem document of anything that was thrown. */
export function problemOf(error: unknown, occurrence: Occurrence = {}): Problem {
  const { code, detail, errors } = toServiceError(error)
  const { status, title } = errorCatalogue[code]
  return {
    type: `/problems/${code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    detail,
    code,
    ...occurrence,
    ...(errors === undefined ? {} : { errors: [...errors] })
  }
}

/** Handles errors of hooks and handlers. */
export function problems(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply))
}

/** Answers `request` with the problem that `error` is. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const known = hasHungUp(error, request) ? hungUp(error) : toServiceError(error)
  const problem = problemOf(known, { instance: request.url.slice(0, 500), requestId: request.id })
  if (problem.status >= 500) request.log.error({ err: error, code: known.code }, 'request failed')
  else request.log.info(refusalOf(known, request), 'request refused')
  const challenge = challenges[known.code]
  if (challenge !== undefined) reply.header('www-authenticate', challenge)
  // What has not arrived by now is not waited for.
  if (known.code === 'REQUEST_TIMEOUT') reply.header('connection', 'close')
  const retryAfter = known.retryAfter ?? usualDelay(known)
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
  if (isProtocol(request.url)) return sendProtocolError(problem, reply)
  return reply
    .code(problem.status)
    .header('x-request-id', request.id)
    .header('content-type', problemType)
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problem)
}

/** What was received is told to who sent it, not to the log: it may be anything, an image or a key by mistake. */
function refusalOf({ code, detail }: ServiceError, { method, routeOptions }: FastifyRequest) {
  const reason = detail.replace(/[,:;]? ?\breceived .*$/s, '')
  return { code, detail: reason, method, route: routeOptions.url }
}

/** The Open Inference Protocol has a form of its own. */
const isProtocol = (url: string): boolean => /^\/v2(?:[/?]|$)/.test(url)

const sendProtocolError = ({ status, detail, code, requestId }: Problem, reply: FastifyReply) =>
  reply
    .code(status)
    .header('x-request-id', requestId)
    .header('content-type', 'application/json; charset=utf-8')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send({ error: detail, code })

/** Whether the caller hung up before it was answered, which is no fault of ours. */
function hasHungUp(error: unknown, { raw }: FastifyRequest): boolean {
  const { code, name } = (error ?? {}) as NodeJS.ErrnoException
  // Reading the request breaks off with the one, work that nobody waits for any more with the other.
  return raw.socket.destroyed && (code === 'ECONNRESET' || name === 'AbortError')
}

/** Nobody reads it; it is for the log. */
const hungUp = (cause: unknown): ServiceError =>
  new ServiceError('REQUEST_MALFORMED', {
    detail: 'Cannot answer the request: the caller hung up before its end',
    cause
  })

/** A quota has no delay that could be guessed: it is free again when something ends or is deleted. */
const usualDelay = ({ code, status }: ServiceError): number | undefined =>
  code === 'QUOTA_EXCEEDED' ? undefined : usualDelays[status]

/** Seconds, for refusals that pass by themselves, when they do not say it better. */
const usualDelays: Readonly<Record<number, number>> = { 429: 1, 503: 5 }

/** RFC 6750 section 3. */
const challenges: Partial<Record<ErrorCode, string>> = {
  UNAUTHENTICATED: 'Bearer realm="whittle"',
  FORBIDDEN: 'Bearer realm="whittle", error="insufficient_scope"'
}

/** Answers what Node's parser refused, before there is a request: bad request lines, huge headers. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = problemOf(
    new ServiceError('REQUEST_MALFORMED', { detail: `Cannot read the request: ${error.code}` })
  )
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close'
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

const codesOfStatus: Readonly<Record<number, ErrorCode>> = {
  404: 'ROUTE_NOT_FOUND',
  413: 'REQUEST_TOO_LARGE',
  415: 'MEDIA_TYPE_UNSUPPORTED'
}

function toServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error
  const full = asDiskError(error, 'store the data')
  if (full instanceof ServiceError) return full
  const { statusCode, message } = error as Partial<FastifyError>
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const known = codesOfStatus[statusCode] ?? 'REQUEST_MALFORMED'
    return new ServiceError(known, { detail: `Cannot read the request: ${message}`, cause: error })
  }
  return new ServiceError('INTERNAL', {
    detail: 'Something went wrong on our side; the log tells more under the request id',
    cause: error
  })
}
