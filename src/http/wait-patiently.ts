/** For answers that take minutes. */
import type { FastifyRequest } from 'fastify'

/** Measurements wait for each other; the connection says nothing meanwhile and must not be closed. */
export function waitPatiently(request: FastifyRequest): void {
  const { socket } = request.raw
  const usualMs = socket.timeout ?? 0
  socket.setTimeout(0)
  request.raw.once('close', () => socket.setTimeout(usualMs))
}
