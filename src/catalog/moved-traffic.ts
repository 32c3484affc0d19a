/**
 * Whose traffic a publication would move, asked before it happens: its transaction is too short to have
 * anything loaded in it.
 */
import type { Catalog } from './open.ts'
import type { Publication } from './publish-version.ts'

export interface MovedTraffic {
  /** Number that the published version gets, unless another is published first. */
  readonly version: number
  /** Versions that those who are to be moved are answered by now; empty: nobody is moved. */
  readonly from: readonly number[]
}

/**
 * Looks at the alias that is named, and at `production`: where a model has none, whoever names neither version nor
 * alias is answered by the newest version, so that publishing alone moves them.
 */
export async function movedTraffic(
  db: Catalog,
  { model, alias }: Pick<Publication, 'model' | 'alias'>
): Promise<MovedTraffic> {
  const known = await db
    .selectFrom('models')
    .select(['id', 'next_version'])
    .where('name', '=', model)
    .executeTakeFirst()
  if (known === undefined) return { version: 1, from: [] }
  const targets = await db
    .selectFrom('alias_targets')
    .select(['alias', 'version'])
    .where('model_id', '=', known.id)
    .where('alias', 'in', ['production', ...(alias === null ? [] : [alias])])
    .execute()
  const from = targets.filter((target) => target.alias === alias).map(({ version }) => version)
  if (!targets.some((target) => target.alias === 'production')) {
    from.push(...(await newestVersion(db, known.id)))
  }
  return { version: known.next_version, from }
}

async function newestVersion(db: Catalog, modelId: number): Promise<number[]> {
  const rows = await db
    .selectFrom('model_versions')
    .select('version')
    .where('model_id', '=', modelId)
    .orderBy('version', 'desc')
    .limit(1)
    .execute()
  return rows.map(({ version }) => version)
}
