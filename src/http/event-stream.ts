/**
 * The wire format of server-sent events (WHATWG HTML, section 9.2 "Server-sent events"), and how a
 * stream of them is sent: at the reader's pace, never kept by proxies, cut off when nothing is taken.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'

export const eventStreamType = 'text/event-stream'

export interface ServerSentEvent {
  /** Comes back as `Last-Event-ID`; left out, the reader keeps the one it has. */
  readonly id?: number
  readonly event: string
  /** JSON text has no line breaks, so it is one `data` line. */
  readonly data: unknown
}

/** One event, with the empty line that ends it. */
export function formatEvent({ id, event, data }: ServerSentEvent): string {
  const name = id === undefined ? '' : `id: ${id}\n`
  return `${name}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** A line that readers ignore: it shows both sides, and every proxy between, that the other is there. */
export const comment = ':\n\n'

/**
 * Sends what `texts` yields. The next one is asked for when the reader has taken those before, so that
 * a slow one costs no more than two of them; one that takes nothing for `stallMs` is cut off.
 */
export function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  { texts, stallMs }: { readonly texts: AsyncIterable<string>; readonly stallMs: number }
): FastifyReply {
  // Instead of the server's own, which knows nothing of comments. Each write that goes out restarts it.
  request.raw.socket.setTimeout(stallMs)
  return eventStreamHeaders(reply).send(Readable.from(texts))
}

/** The head of a stream's answer. */
export function eventStreamHeaders(reply: FastifyReply): FastifyReply {
  return (
    reply
      .type(eventStreamType)
      .header('cache-control', 'no-store')
      // nginx and its kin hold answers back otherwise.
      .header('x-accel-buffering', 'no')
      // Nothing else is to come on it, and a service that ends need not wait for it to be idle.
      .header('connection', 'close')
  )
}
