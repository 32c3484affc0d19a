/**
 * Lets Kysely's SQLite dialect run on Node's own `node:sqlite`, so that no native package is needed.
 *
 * Kysely brings compiler, introspection and the mutex around the one connection; what is missing is
 * the shape of better-sqlite3 that its driver expects, and the conversions of values.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { SqliteDialect } from 'kysely'

/** How long a statement waits for another process that has the file locked. */
const busyTimeoutMs = 5000

/**
 * Opens `file` (or `:memory:`) durably: a commit that was answered survives a power cut.
 *
 * Write-ahead log with `synchronous = FULL` (sqlite.org/pragma.html#pragma_synchronous); foreign keys on.
 */
export function nodeSqliteDialect(file: string): SqliteDialect {
  const database = new DatabaseSync(file, {
    timeout: busyTimeoutMs,
    enableForeignKeyConstraints: true
  })
  database.exec('pragma journal_mode = wal; pragma synchronous = full;')
  return new SqliteDialect({
    database: {
      close: () => database.close(),
      prepare: (sql) => adapt(database.prepare(sql))
    }
  })
}

function adapt(statement: StatementSync) {
  return {
    reader: statement.columns().length > 0,
    all: (values: readonly unknown[]) => statement.all(...values.map(toSql)).map(plain),
    run: (values: readonly unknown[]) => statement.run(...values.map(toSql)),
    *iterate(values: readonly unknown[]) {
      for (const row of statement.iterate(...values.map(toSql))) yield plain(row)
    }
  }
}

/** SQLite has no booleans, and `node:sqlite` refuses them instead of storing 0 or 1. */
const toSql = (value: unknown): SQLInputValue =>
  typeof value === 'boolean' ? Number(value) : (value as SQLInputValue)

/** Rows come without a prototype, which deep comparison and some libraries stumble over. */
const plain = (row: object): object => ({ ...row })
