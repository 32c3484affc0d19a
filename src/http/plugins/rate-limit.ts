/**
 * How many requests a caller may send in a minute: as many as its key says.
 *
 * Whoever shows no key that opens anything is counted by address, so that one who keeps trying is soon
 * told nothing more. A good key from the same address is let in all the same, as many callers may share
 * it: against guessing, keys are protected by their length alone. Headers are those of
 * draft-ietf-httpapi-ratelimit-headers-06.
 */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ServiceError } from '../../errors.ts'

/** Enough for a client whose key is wrong to be told so. */
const strangersPerMinute = 60
const windowMs = 60_000

/** Refuses a request that is one too many. To be called once `request.caller` is known. */
export type CheckRate = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

export async function rateLimits(app: FastifyInstance): Promise<CheckRate> {
  await app.register(rateLimit, { global: false })
  const timeWindow = windowMs
  // Counted apart, so that addresses by the thousand cannot push the callers' counts out.
  const ofCallers = app.createRateLimit({
    timeWindow,
    keyGenerator: ({ caller }) => caller?.id ?? '',
    max: ({ caller }) => caller?.limits.requestsPerMinute ?? Number.POSITIVE_INFINITY
  })
  const ofStrangers = app.createRateLimit({ timeWindow, max: strangersPerMinute })
  return async (request, reply) => {
    const { caller } = request
    if (caller !== null && (caller.limits.requestsPerMinute ?? null) === null) return
    const count = await (caller === null ? ofStrangers : ofCallers)(request)
    if (count.isAllowed) return
    reply.headers({
      'ratelimit-limit': count.max,
      'ratelimit-remaining': count.remaining,
      'ratelimit-reset': count.ttlInSeconds
    })
    if (!count.isExceeded) return
    const who = caller === null ? 'an address without a valid key' : `the key ${caller.id}`
    throw new ServiceError('RATE_LIMITED', {
      detail: `Cannot take the request: ${who} may send ${count.max} a minute, received more`,
      retryAfter: count.ttlInSeconds
    })
  }
}
