/** Lets workers, and nobody else, into `/internal/v1`. */
import { timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { keyDigest } from '../contract/key.ts'
import { ServiceError } from '../errors.ts'

/** The key of `Authorization: Bearer KEY` (RFC 6750 section 2.1), if there is one. */
export function bearer(request: FastifyRequest): string | undefined {
  return /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** A hook that refuses requests without the token; with no token set it refuses all. */
export function requireToken(token: string | null) {
  // Digests are equally long whatever was sent, so that the time of a comparison says nothing.
  const expected = token === null ? null : keyDigest(token)
  return async (request: FastifyRequest): Promise<void> => {
    const given = bearer(request)
    const known =
      expected !== null && given !== undefined && timingSafeEqual(keyDigest(given), expected)
    if (known) return
    throw new ServiceError('UNAUTHENTICATED', {
      detail: 'Cannot let the worker in: it needs WHITTLE_WORKER_TOKEN as bearer token'
    })
  }
}
