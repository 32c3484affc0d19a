/** What has happened to an alias by itself or through a gate; the newest of it. */
import type { AliasEvent } from '../contract/promotion.ts'
import type { Catalog } from './open.ts'

interface Place {
  readonly modelId: number
  readonly alias: string
}

const kept = 20

/** Newest first. */
export async function aliasEvents(db: Catalog, { modelId, alias }: Place): Promise<AliasEvent[]> {
  const rows = await rowsOf(db, { modelId, alias }).select('event').limit(kept).execute()
  return rows.map(({ event }) => JSON.parse(event))
}

/** Inside the transaction that changes the alias. */
export async function addAliasEvent(
  trx: Catalog,
  { modelId, alias }: Place,
  event: AliasEvent
): Promise<void> {
  await trx
    .insertInto('alias_events')
    .values({ model_id: modelId, alias, at: event.at, event: JSON.stringify(event) })
    .execute()
  const oldest = await rowsOf(trx, { modelId, alias })
    .select('id')
    .offset(kept)
    .limit(1)
    .executeTakeFirst()
  if (oldest === undefined) return
  await trx
    .deleteFrom('alias_events')
    .where('model_id', '=', modelId)
    .where('alias', '=', alias)
    .where('id', '<=', oldest.id)
    .execute()
}

const rowsOf = (db: Catalog, { modelId, alias }: Place) =>
  db
    .selectFrom('alias_events')
    .where('model_id', '=', modelId)
    .where('alias', '=', alias)
    .orderBy('id', 'desc')
