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
import { nodeSqliteDialect } from './node-sqlite.ts'

export type Catalog = Kysely<Database>

/** Opens and migrates `file`, creating it and its folder if need be. End it with `destroy()`. */
export async function openCatalog(file: string): Promise<Catalog> {
  mkdirSync(dirname(file), { recursive: true })
  const catalog: Catalog = new Kysely({ dialect: nodeSqliteDialect(file) })
  try {
    await migrate(catalog)
  } catch (error) {
    await catalog.destroy()
    throw error
  }
  return catalog
}
