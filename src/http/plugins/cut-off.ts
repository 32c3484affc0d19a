/**
 * Cuts off answers that are still under way when the key of whoever asked opens nothing any more.
 *
 * A stream of events lasts as long as its job, and a download as long as its reader pleases: both would
 * outlive a revoked key by hours. What has not begun to be answered is answered once: it was let in.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Caller } from '../../contract/key.ts'
import type { KeyRing } from '../../service/key-ring.ts'

const lookEveryMs = 1000

/** Has an answer cut off once its caller's key opens nothing any more. To be called before it begins. */
export type Watch = (caller: Caller, reply: FastifyReply) => void

export function cutOff(app: FastifyInstance, keys: Pick<KeyRing, 'isOpen'>): Watch {
  const answers = new Map<ServerResponse, Caller>()
  const look = (): void => {
    for (const [answer, { id }] of answers) {
      if (answer.headersSent && !keys.isOpen(id)) answer.destroy()
    }
  }
  const timer = setInterval(look, lookEveryMs).unref()
  app.addHook('onClose', async () => clearInterval(timer))
  return (caller, { raw }) => {
    answers.set(raw, caller)
    raw.once('close', () => answers.delete(raw))
  }
}
