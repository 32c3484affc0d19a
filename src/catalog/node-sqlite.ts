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

export interface OpenedFile {
  readonly dialect: SqliteDialect
  /** Rows that were written through it since it was opened (sqlite.org/lang_corefunc.html#total_changes). */
  changes(): number
}

/**
 * Opens `file` (or `:memory:`) durably: a commit that was answered survives a power cut.
 *
 * Write-ahead log with `synchronous = FULL` (sqlite.org/pragma.html#pragma_synchronous); foreign keys on.
 */
export function openNodeSqlite(file: string): OpenedFile {
  const database = new DatabaseSync(file, {
    timeout: busyTimeoutMs,
    enableForeignKeyConstraints: true
  })
  database.exec('pragma journal_mode = wal; pragma synchronous = full;')
  const prepared = new Map<string, ReturnType<typeof adapt>>()
  const prepare = (sql: string) => {
    const known = prepared.get(sql)
    if (known) return known
    if (prepared.size >= mostPrepared) prepared.clear()
    const statement = adapt(database, sql)
    prepared.set(sql, statement)
    return statement
  }
  const dialect = new SqliteDialect({
    database: {
      close: () => database.close(),
      prepare: (sql) => (isDone(sql, database) ? nothing : prepare(sql))
    }
  })
  const counted = database.prepare('select total_changes() as n')
  return { dialect, changes: () => Number(counted.get()?.n) }
}

/** Preparing a statement costs several times what a short one does; SQLite keeps them right when tables change. */
const mostPrepared = 256

/**
 * SQLite rolls a transaction back by itself when the disk is full (sqlite.org/lang_transaction.html,
 * section 3), and Kysely then asks for it: refused, that would hide what went wrong.
 */
const isDone = (sql: string, { isTransaction }: DatabaseSync): boolean =>
  sql === 'rollback' && !isTransaction

const nothing = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  *iterate() {}
}

function adapt(database: DatabaseSync, sql: string) {
  const statement: StatementSync = database.prepare(sql)
  return {
    reader: statement.columns().length > 0,
    all: (values: readonly unknown[]) => statement.all(...values.map(toSql)).map(plain),
    run: (values: readonly unknown[]) => statement.run(...values.map(toSql)),
    *iterate(values: readonly unknown[]) {
      // One of its own: a loop that is left early must not leave the shared one half way.
      for (const row of database.prepare(sql).iterate(...values.map(toSql))) yield plain(row)
    }
  }
}

/** SQLite has no booleans, and `node:sqlite` refuses them instead of storing 0 or 1. */
const toSql = (value: unknown): SQLInputValue =>
  typeof value === 'boolean' ? Number(value) : (value as SQLInputValue)

/** Rows come without a prototype, which deep comparison and some libraries stumble over. */
const plain = (row: object): object => ({ ...row })
