/** Rows of keys made over REST. A revoked one stays, because what it made names it as owner. */
import type { Selectable } from 'kysely'
import type { KeyLimits } from '../contract/key.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import type { ApiKeyTable } from './migration/0006-keys.ts'
import type { Catalog } from './open.ts'

export type KeyRow = Selectable<ApiKeyTable>

/** Every key, revoked ones too. There are as many as people made by hand. */
export function allKeys(db: Catalog): Promise<KeyRow[]> {
  return db.selectFrom('api_keys').selectAll().execute()
}

/** A page of keys, newest first. */
export async function listKeys(
  db: Catalog,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined }
): Promise<{ readonly rows: KeyRow[]; readonly next: string | null }> {
  let query = db.selectFrom('api_keys').selectAll().orderBy('id', 'desc')
  if (cursor !== undefined) query = query.where('id', '<', cursor)
  const found = await query.limit(limit + 1).execute()
  const rows = found.slice(0, limit)
  return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null }
}

/** @throws ServiceError KEY_NOT_FOUND */
export async function getKey(db: Catalog, id: string): Promise<KeyRow> {
  const row = await db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst()
  return row ?? missing(id)
}

export async function insertKey(trx: CatalogTransaction, row: KeyRow): Promise<void> {
  await trx.insertInto('api_keys').values(row).execute()
}

export interface KeyChanges {
  readonly name?: string
  readonly limits?: KeyLimits
  readonly expiresAt?: string | null
}

/** @throws ServiceError KEY_NOT_FOUND, also of a key that was revoked */
export async function changeKey(
  db: Catalog,
  id: string,
  { name, limits, expiresAt }: KeyChanges
): Promise<KeyRow> {
  const row = await db
    .updateTable('api_keys')
    .set((eb) => ({
      // Something has to be set, even when nothing changes.
      name: name ?? eb.ref('name'),
      ...(limits === undefined ? {} : { limits: JSON.stringify(limits) }),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt })
    }))
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  return row ?? missing(id)
}

/** Idempotent: the time of the first revocation stays. @throws ServiceError KEY_NOT_FOUND */
export async function revokeKey(db: Catalog, id: string, now = new Date()): Promise<KeyRow> {
  const row = await db
    .updateTable('api_keys')
    .set((eb) => ({ revoked_at: eb.fn.coalesce('revoked_at', eb.val(now.toISOString())) }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst()
  return row ?? missing(id)
}

function missing(id: string): never {
  throw new ServiceError('KEY_NOT_FOUND', {
    detail: `Cannot find the key: there is none of this id that is in use, received ${JSON.stringify(id.slice(0, 100))}`
  })
}
