/** API keys made over REST, who owns what, and how much training each owner has used. */
import { type Kysely, sql } from 'kysely'
import type { KeyScope } from '../../contract/key.ts'

export interface ApiKeyTable {
  /** `key_...`: names the key in lists, logs and as owner. Not secret. */
  id: string
  name: string
  /** SHA-256 of the whole key, hexadecimal. The key itself is nowhere. */
  sha256: string
  scope: KeyScope
  /** JSON: KeyLimits. */
  limits: string
  created_at: string
  expires_at: string | null
  revoked_at: string | null
}

export interface KeyUsageTable {
  owner: string
  /** UTC day, `2026-11-24`. */
  day: string
  training_ms: number
}

export interface KeyTables {
  api_keys: ApiKeyTable
  key_usage: KeyUsageTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table api_keys (
    id text primary key,
    name text not null,
    sha256 text not null unique,
    scope text not null check (scope in ('predict', 'train', 'admin')),
    limits text not null,
    created_at text not null,
    expires_at text,
    revoked_at text
  ) strict`,
  // Who made it: the id of a key; null without keys.
  'alter table datasets add column owner text',
  'alter table jobs add column owner text',
  'alter table model_versions add column owner text',
  // Of its images, each once, however often it was relabelled; those of a running import in advance.
  'alter table datasets add column stored_bytes integer not null default 0',
  `update datasets set stored_bytes = (select coalesce(sum(bytes), 0) from (
    select distinct sha256, bytes from dataset_images where dataset_id = datasets.id))`,
  'create index dataset_by_owner on datasets (owner) where owner is not null',
  'create index job_by_owner on jobs (owner, state) where owner is not null',
  'create index model_version_by_owner on model_versions (owner) where owner is not null',
  `create table key_usage (
    owner text not null,
    day text not null,
    training_ms integer not null,
    primary key (owner, day)
  ) strict, without rowid`,
  // A job that is deleted has still been trained.
  `create trigger key_usage_counts after update of ran_ms on jobs
    when new.owner is not null and new.ran_ms > old.ran_ms
    begin insert into key_usage (owner, day, training_ms)
      values (new.owner, strftime('%Y-%m-%d', 'now'), new.ran_ms - old.ran_ms)
      on conflict (owner, day) do update set training_ms = training_ms + excluded.training_ms; end`
]
