/** Aborts when the client goes away before it is answered, so that nobody works for it any more. */
import type { FastifyReply } from 'fastify'
import { ServiceError } from '../errors.ts'

export function gone(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController()
  reply.raw.once('close', () => {
    if (reply.raw.writableFinished) return
    const detail = 'Cannot answer: the client has gone'
    leaving.abort(new ServiceError('REQUEST_MALFORMED', { detail }))
  })
  return leaving.signal
}
