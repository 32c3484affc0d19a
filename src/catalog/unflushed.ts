/** Writes that may be lost with the machine, so that nobody waits for the disk over them. */
import { sql } from 'kysely'
import type { Catalog } from './open.ts'

/**
 * Runs `write` without waiting for the disk (`synchronous = normal`, sqlite.org/pragma.html#pragma_synchronous):
 * a power cut may take it back, a killed process does not, and the catalogue stays whole. SQLite waits on the
 * thread that answers requests, for hundreds of milliseconds on a busy disk.
 */
export async function unflushed<T>(
  db: Catalog,
  write: (connection: Catalog) => Promise<T>
): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`pragma synchronous = normal`.execute(connection)
    try {
      return await write(connection)
    } finally {
      await sql`pragma synchronous = full`.execute(connection)
    }
  })
}
