/**
 * Holds the refusals of clients that ask again before the time that `Retry-After` told them.
 *
 * The first refusal comes at once. Refusing costs half of what answering a small image does, so that a few
 * hundred clients who ask again without a pause keep the api from answering anybody, and from accepting
 * connections: Node accepts one in each turn of its event loop, and a turn lasts as long as all that have asked.
 */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

const heldMs = 1000

/** @param hold - waits; a test need not. */
export function impatient(
  app: FastifyInstance,
  { hold = () => sleep(heldMs, undefined, { ref: false }) }: { hold?: () => Promise<void> } = {}
): void {
  /** When each may ask again, on the clock of performance.now(). */
  const welcomeAt = new WeakMap<Socket, number>()
  app.addHook('onSend', async ({ raw: { socket } }, reply) => {
    const retryAfter = Number(reply.getHeader('retry-after'))
    if (reply.statusCode !== 429 || !Number.isFinite(retryAfter)) return
    const isEarly = performance.now() < (welcomeAt.get(socket) ?? 0)
    if (isEarly) await hold()
    welcomeAt.set(socket, performance.now() + retryAfter * 1000)
  })
}
