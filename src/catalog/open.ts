/**
 * Opens the catalogue: the one SQLite file that holds what the service has accepted.
 *
 * One connection behind Kysely's mutex. Inside a transaction use the transaction only: a statement on
 * the catalogue itself would wait for the transaction to end, for ever.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Kysely } from 'kysely'
import type { Database } from './database.ts'
import { migrate } from './migrations.ts'
import { openNodeSqlite } from './node-sqlite.ts'

export type Catalog = Kysely<Database>

const counters = new WeakMap<Catalog, () => number>()

/**
 * A number that is another one whenever something in the catalogue may be: what was read while it stayed the
 * same is still true. Much cheaper than any query; only the process that opened the catalogue writes to it.
 */
export function changesOf(catalog: Catalog): number {
  const count = counters.get(catalog)
  if (count === undefined) throw new Error('Cannot tell changes: a transaction is no catalogue')
  return count()
}

/** Opens and migrates `file`, creating it and its folder if need be. End it with `destroy()`. */
export async function openCatalog(file: string): Promise<Catalog> {
  mkdirSync(dirname(file), { recursive: true })
  const { dialect, changes } = openNodeSqlite(file)
  const catalog: Catalog = new Kysely({ dialect })
  counters.set(catalog, changes)
  try {
    await migrate(catalog)
  } catch (error) {
    await catalog.destroy()
    throw error
  }
  return catalog
}
