/** When an alias goes back to its stable target by itself, what has happened to aliases, and traces of jobs. */
import { type Generated, type Kysely, sql } from 'kysely'

export interface AliasEventTables {
  alias_events: {
    id: Generated<number>
    model_id: number
    alias: string
    at: string
    /** JSON: AliasEvent. */
    event: string
  }
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  // JSON: TraceContext of the request that posted it; null where nothing was traced.
  'alter table jobs add column trace text',
  // JSON: Rollback; null where nothing is watched.
  'alter table aliases add column rollback text',
  `create table alias_events (
    id integer primary key autoincrement,
    model_id integer not null,
    alias text not null,
    at text not null,
    event text not null,
    foreign key (model_id, alias) references aliases (model_id, alias) on delete cascade
  ) strict`,
  'create index alias_event_by_alias on alias_events (model_id, alias, id)'
]
