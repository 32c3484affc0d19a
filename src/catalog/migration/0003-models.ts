/**
 * Published models: names, numbered versions with their report, artifacts, aliases.
 *
 * Rows of `models` keep the next version number and alias revision, so neither is ever given twice,
 * whatever is deleted in between.
 */
import { type Generated, type Kysely, sql } from 'kysely'

export interface ModelTables {
  models: {
    id: Generated<number>
    name: string
    created_at: string
    next_version: number
    next_revision: number
  }
  model_versions: {
    model_id: number
    version: number
    /** Unique: a job publishes once, however often its outcome is reported. Null: made elsewhere (0008). */
    job: string | null
    created_at: string
    /** JSON: DatasetReference. Null of a model made elsewhere (0008). */
    dataset: string | null
    recommended: string
    /** Null where it was not measured (0008). */
    accuracy: number | null
    /** JSON: VersionReport. */
    report: string
    /** Key whose job published it; null without keys (0006). */
    owner: Generated<string | null>
  }
  artifacts: {
    model_id: number
    version: number
    file: string
    sha256: string
    bytes: number
    media_type: string
  }
  aliases: {
    model_id: number
    alias: string
    /** Changes with every change of the targets; the entity tag. */
    revision: number
    /** JSON: Rollback; null where nothing is watched (0012). */
    rollback: Generated<string | null>
  }
  alias_targets: {
    model_id: number
    alias: string
    position: number
    version: number
    variant: string
    share: number
  }
}

/** SQL that both SQLite and PostgreSQL understand, but for the row number. */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`create table models (
      id integer primary key autoincrement,
      name text not null unique,
      created_at text not null,
      next_version integer not null,
      next_revision integer not null)`,
    sql`create table model_versions (
      model_id integer not null references models (id) on delete cascade,
      version integer not null,
      job text not null unique,
      created_at text not null,
      dataset text not null,
      recommended text not null,
      accuracy real not null,
      report text not null,
      primary key (model_id, version))`,
    sql`create table artifacts (
      model_id integer not null,
      version integer not null,
      file text not null,
      sha256 text not null,
      bytes integer not null,
      media_type text not null,
      primary key (model_id, version, file),
      foreign key (model_id, version) references model_versions (model_id, version)
        on delete cascade)`,
    sql`create index artifacts_sha256 on artifacts (sha256)`,
    sql`create table aliases (
      model_id integer not null references models (id) on delete cascade,
      alias text not null,
      revision integer not null,
      primary key (model_id, alias))`,
    sql`create table alias_targets (
      model_id integer not null,
      alias text not null,
      position integer not null,
      version integer not null,
      variant text not null,
      share real not null,
      primary key (model_id, alias, position),
      foreign key (model_id, alias) references aliases (model_id, alias) on delete cascade)`
  ]
  for (const statement of statements) await statement.execute(db)
}
