/**
 * Remembers the answers to requests that carried an idempotency key.
 *
 * A row without a status is a request that is still running. Only this process runs requests, so such
 * rows of an earlier process are of requests that died with it, and go at start.
 */
import type { CatalogTransaction } from './database.ts'
import type { Catalog } from './open.ts'

export interface KeyRef {
  readonly caller: string
  readonly route: string
  readonly key: string
}

export interface KeptAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What is known of a key: nothing (it is now reserved), a running request, or an answer. */
export type Reservation =
  | { readonly kind: 'reserved' }
  | { readonly kind: 'running' }
  | { readonly kind: 'answered'; readonly fingerprint: string; readonly answer: KeptAnswer }

const keptMs = 24 * 3_600_000

export function reserveKey(db: Catalog, ref: KeyRef, now = new Date()): Promise<Reservation> {
  return db.transaction().execute(async (trx) => {
    const { caller, route, key } = ref
    const row = await trx
      .selectFrom('idempotency_keys')
      .selectAll()
      .where('caller', '=', caller)
      .where('route', '=', route)
      .where('key', '=', key)
      .where('created_at', '>', oldest(now))
      .executeTakeFirst()
    if (row?.status === null) return { kind: 'running' }
    if (row !== undefined) {
      const { status, headers, body, fingerprint } = row
      const answer = { status, headers: JSON.parse(headers ?? '{}'), body: body ?? '' }
      return { kind: 'answered', fingerprint: fingerprint ?? '', answer }
    }
    const empty = { fingerprint: null, status: null, headers: null, body: null }
    await trx
      .replaceInto('idempotency_keys')
      .values({ caller, route, key, ...empty, created_at: now.toISOString() })
      .execute()
    return { kind: 'reserved' }
  })
}

export async function keepAnswer(
  db: Catalog | CatalogTransaction,
  { caller, route, key }: KeyRef,
  fingerprint: string,
  { status, headers, body }: KeptAnswer
): Promise<void> {
  await db
    .updateTable('idempotency_keys')
    .set({ fingerprint, status, headers: JSON.stringify(headers), body })
    .where('caller', '=', caller)
    .where('route', '=', route)
    .where('key', '=', key)
    .execute()
}

/** Forgets that a request with this key is running. An answer that is kept stays. */
export async function releaseKey(db: Catalog, { caller, route, key }: KeyRef): Promise<void> {
  await db
    .deleteFrom('idempotency_keys')
    .where('caller', '=', caller)
    .where('route', '=', route)
    .where('key', '=', key)
    .where('status', 'is', null)
    .execute()
}

/** At start: forgets what an earlier process left running. */
export async function releaseAbandonedKeys(db: Catalog): Promise<void> {
  await db.deleteFrom('idempotency_keys').where('status', 'is', null).execute()
}

/** Forgets answers after a day. */
export async function forgetOldKeys(db: Catalog, now = new Date()): Promise<void> {
  await db.deleteFrom('idempotency_keys').where('created_at', '<=', oldest(now)).execute()
}

const oldest = (now: Date): string => new Date(now.getTime() - keptMs).toISOString()
