/**
 * `Idempotency-Key` on POSTs that create (draft-ietf-httpapi-idempotency-key-header).
 *
 * A route opts in by `config.idempotency`: `body` compares its JSON payload; `upload` reserves the key
 * at once, and the handler compares, by `request.settleIdempotency`, once it has read the files;
 * `secret` compares like `body`, and keeps its answer encrypted.
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
import { asDiskError, ServiceError } from '../../errors.ts'
import { seal, unseal } from '../sealed-answer.ts'
import { bearer } from '../worker-token.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly idempotency?: 'body' | 'upload' | 'secret'
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
  /** What the answer is encrypted with; null where it holds no secret. */
  readonly secret: string | null
  /** Of the payload; empty until an upload has been read, and for ever when it broke off. */
  fingerprint: string
  /** Whether the answer was written with what it tells of. */
  isKept: boolean
}

export function idempotency(app: FastifyInstance, db: Catalog): void {
  const unreleased = releases(db)
  app.decorateRequest('idempotency', null)
  app.decorateRequest('settleIdempotency', async function (payload: unknown, reply: FastifyReply) {
    const path = bare(this.url.split('?')[0] ?? '')
    return settle(this.idempotency, `${path} ${canonical(payload)}`, reply)
  })
  app.decorateRequest('rememberAnswer', async function (trx, { status, location, body }) {
    if (this.idempotency?.reservation.kind !== 'reserved') return
    const headers = { 'content-type': 'application/json; charset=utf-8', location }
    await keep(trx, this.idempotency, { status, headers, body: JSON.stringify(body) })
    this.idempotency.isKept = true
  })
  app.addHook('preHandler', async (request, reply) => {
    const { idempotency: kind } = request.routeOptions.config
    const key = request.headers['idempotency-key']
    // A body that fails its schema is refused in any case; whatever it holds is not compared.
    if (kind === undefined || key === undefined || request.validationError !== undefined) return
    // Keys of two callers never meet; without API keys there is one caller.
    const caller = request.caller?.id ?? ''
    const ref = { caller, route: routeOf(request), key: checkedKey(key) }
    await unreleased.retry(ref)
    const reservation = await reserveKey(db, ref)
    if (reservation.kind === 'running') throw stillRunning()
    const secret = kind === 'secret' ? (bearer(request) ?? '') : null
    request.idempotency = { ref, reservation, secret, fingerprint: '', isKept: false }
    if (kind !== 'upload' && (await request.settleIdempotency(request.body, reply))) return reply
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const pending = request.idempotency
    if (pending?.reservation.kind !== 'reserved') return
    const { ref, fingerprint } = pending
    if (isWorthKeeping(reply.statusCode) && fingerprint !== '' && typeof payload === 'string') {
      if (!pending.isKept) await keep(db, pending, answerOf(reply, payload))
    } else {
      await unreleased.release(ref)
    }
  })
}

/**
 * Releases keys, also those for which the catalogue had no room at first: their requests have ended, and
 * would else seem to run until the next start.
 */
function releases(db: Catalog) {
  const left = new Set<string>()
  const nameOf = ({ caller, route, key }: KeyRef) => JSON.stringify([caller, route, key])
  const release = async (ref: KeyRef): Promise<void> => {
    left.add(nameOf(ref))
    await releaseKey(db, ref)
    left.delete(nameOf(ref))
  }
  return {
    release: (ref: KeyRef) =>
      release(ref).catch((error) => {
        if (asDiskError(error, '') === error) throw error
      }),
    async retry(ref: KeyRef) {
      if (left.has(nameOf(ref))) await release(ref)
    }
  }
}

function keep(
  db: Catalog | CatalogTransaction,
  { ref, fingerprint, secret }: Pending,
  { status, headers, body }: KeptAnswer
): Promise<void> {
  const kept = secret === null ? body : seal(body, secret)
  return keepAnswer(db, ref, fingerprint, { status, headers, body: kept })
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
  const text = pending.secret === null ? body : unseal(body, pending.secret)
  reply.serializer(() => text).send(text)
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

const keptHeaders = ['content-type', 'location', 'etag']

/** An answer that says "later" would be wrong later. */
const isWorthKeeping = (status: number): boolean => status < 500 && status !== 429

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
