/**
 * `Idempotency-Key` on POSTs that create (draft-ietf-httpapi-idempotency-key-header).
 *
 * A route opts in by `config.idempotency`: `body` compares its JSON payload; `upload` reserves the key
 * at once, and the handler compares, by `request.settleIdempotency`, once it has read the files.
 */
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CatalogTransaction } from '../../catalog/database.ts'
import {
  type KeptAnswer,
  type KeyRef,
  keepAnswer,
  type Reservation,
  releaseKey,
  reserveKey
} from '../../catalog/idempotency.ts'
import type { Catalog } from '../../catalog/open.ts'
import { ServiceError } from '../../errors.ts'
import { bearer, digest } from '../worker-token.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly idempotency?: 'body' | 'upload'
  }
  interface FastifyRequest {
    idempotency: Pending | null
    /**
     * Compares a payload with the first one under the same key. True: the first answer has been sent
     * again, and nothing is to be done. Always false without the header.
     *
     * @throws ServiceError IDEMPOTENCY_KEY_REUSED when the payloads differ
     */
    settleIdempotency(payload: unknown, reply: FastifyReply): Promise<boolean>
    /**
     * Keeps the answer in the transaction that creates what it tells of, so that a process killed
     * before it could answer has not created something that a second try creates again.
     */
    rememberAnswer(trx: CatalogTransaction, answer: Creation): Promise<void>
  }
}

/** The answer to a request that creates: where the new thing is, and the thing itself. */
interface Creation {
  readonly status: 201 | 202
  readonly location: string
  readonly body: unknown
}

interface Pending {
  readonly ref: KeyRef
  readonly reservation: Reservation
  /** Of the payload; empty until an upload has been read, and for ever when it broke off. */
  fingerprint: string
}

export function idempotency(app: FastifyInstance, db: Catalog): void {
  app.decorateRequest('idempotency', null)
  app.decorateRequest('settleIdempotency', async function (payload: unknown, reply: FastifyReply) {
    const path = bare(this.url.split('?')[0] ?? '')
    return settle(this.idempotency, `${path} ${canonical(payload)}`, reply)
  })
  app.decorateRequest('rememberAnswer', async function (trx, { status, location, body }) {
    if (this.idempotency?.reservation.kind !== 'reserved') return
    const { ref, fingerprint } = this.idempotency
    const headers = { 'content-type': 'application/json; charset=utf-8', location }
    await keepAnswer(trx, ref, fingerprint, { status, headers, body: JSON.stringify(body) })
  })
  app.addHook('preHandler', async (request, reply) => {
    const { idempotency: kind } = request.routeOptions.config
    const key = request.headers['idempotency-key']
    // A body that fails its schema is refused in any case; whatever it holds is not compared.
    if (kind === undefined || key === undefined || request.validationError !== undefined) return
    const ref = { caller: callerOf(request), route: routeOf(request), key: checkedKey(key) }
    const reservation = await reserveKey(db, ref)
    if (reservation.kind === 'running') throw stillRunning()
    request.idempotency = { ref, reservation, fingerprint: '' }
    if (kind === 'body' && (await request.settleIdempotency(request.body, reply))) return reply
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const pending = request.idempotency
    if (pending?.reservation.kind !== 'reserved') return
    const { ref, fingerprint } = pending
    if (isWorthKeeping(reply.statusCode) && fingerprint !== '' && typeof payload === 'string') {
      await keepAnswer(db, ref, fingerprint, answerOf(reply, payload))
    } else {
      await releaseKey(db, ref)
    }
  })
}

async function settle(pending: Pending | null, payload: string, reply: FastifyReply) {
  if (pending === null) return false
  pending.fingerprint = createHash('sha256').update(payload).digest('hex')
  const { reservation } = pending
  if (reservation.kind !== 'answered') return false
  if (reservation.fingerprint !== pending.fingerprint) {
    throw new ServiceError('IDEMPOTENCY_KEY_REUSED', {
      detail: 'Cannot use the idempotency key: its first request had another payload'
    })
  }
  const { status, headers, body } = reservation.answer
  reply.code(status).headers(headers).header('idempotency-replayed', 'true')
  reply.serializer((text: unknown) => String(text)).send(body)
  return true
}

const answerOf = (reply: FastifyReply, body: string): KeptAnswer => ({
  status: reply.statusCode,
  headers: Object.fromEntries(
    keptHeaders.flatMap((name) => {
      const value = reply.getHeader(name)
      return value === undefined ? [] : [[name, String(value)]]
    })
  ),
  body
})

const keptHeaders = ['content-type', 'location']

/** An answer that says "later" would be wrong later. */
const isWorthKeeping = (status: number): boolean => status < 500 && status !== 429

/** Keys of two callers never meet; without API keys there is one caller. */
const callerOf = (request: FastifyRequest): string => {
  const key = bearer(request)
  return key === undefined ? '' : digest(key).toString('hex')
}

const routeOf = ({ method, routeOptions }: FastifyRequest): string =>
  `${method} ${bare(routeOptions.url ?? '')}`

/** `/v1/jobs/` is `/v1/jobs`. */
const bare = (path: string): string => path.replace(/\/+$/, '')

function checkedKey(key: string | string[]): string {
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw new ServiceError('REQUEST_MALFORMED', {
    detail: 'Cannot use the idempotency key: it must be 1 to 255 visible ASCII characters'
  })
}

const stillRunning = () =>
  new ServiceError('IDEMPOTENCY_IN_PROGRESS', {
    detail: 'Cannot answer yet: the first request with this idempotency key is still running',
    retryAfter: 1
  })

/** JSON with the members of objects in order, so that equal payloads are equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member
  )
}
