/**
 * Tables of datasets: datasets, their frozen versions, and the images of every version.
 *
 * An image row holds for the versions `from_version` up to, not including, `to_version`; so a new
 * version of ten thousand images and one more costs one row. Image rows do not go with their dataset:
 * they are removed in pages afterwards, because a million at once would hold everybody up. Times are
 * RFC 3339 texts, structures JSON texts.
 */
import { type Generated, type Kysely, sql } from 'kysely'

export type Split = 'train' | 'validation' | 'test'

export interface DatasetTable {
  id: string
  name: string
  status: 'importing' | 'ready' | 'failed'
  /** Newest version; null until an import has been committed. */
  version: number | null
  created_at: string
  /** Whether one fault fails the import. 0 or 1. */
  strict: number
  /** Counts dispatches of the import. */
  dispatch: number
  /** Imports that ended unexpectedly, in a row. */
  crashes: number
  /** ImportReport, once there is one. */
  report: string | null
  /** `{ code, detail }` of a failed import. */
  error: string | null
  /** Key that made it; null without keys (0006). */
  owner: Generated<string | null>
  /** Bytes of its images, each once (0006). */
  stored_bytes: Generated<number>
}

export interface DatasetVersionTable {
  dataset_id: string
  version: number
  created_at: string
  /** SHA-256 over images, labels and splits. */
  hash: string
  /** DatasetFacts. */
  facts: string
}

export interface DatasetImageTable {
  /** Stays the same when the image gets another label. */
  id: string
  dataset_id: string
  sha256: string
  label: string
  split: Split
  width: number
  height: number
  bytes: number
  format: 'jpeg' | 'png' | 'webp' | 'gif'
  /** 1 when the image shows no colour. */
  grey: number
  from_version: number
  /** First version without this row; null while the newest version has it. */
  to_version: number | null
}

export interface DatasetTables {
  datasets: DatasetTable
  dataset_versions: DatasetVersionTable
  dataset_images: DatasetImageTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table datasets (
    id text primary key,
    name text not null unique,
    status text not null check (status in ('importing', 'ready', 'failed')),
    version integer,
    created_at text not null,
    strict integer not null,
    dispatch integer not null,
    crashes integer not null,
    report text,
    error text
  ) strict`,
  'create index dataset_by_status on datasets (status)',
  `create table dataset_versions (
    dataset_id text not null references datasets (id) on delete cascade,
    version integer not null,
    created_at text not null,
    hash text not null,
    facts text not null,
    primary key (dataset_id, version)
  ) strict, without rowid`,
  `create table dataset_images (
    id text not null,
    dataset_id text not null,
    sha256 text not null,
    label text not null,
    split text not null check (split in ('train', 'validation', 'test')),
    width integer not null,
    height integer not null,
    bytes integer not null,
    format text not null,
    grey integer not null,
    from_version integer not null,
    to_version integer,
    primary key (dataset_id, id, from_version)
  ) strict, without rowid`,
  'create index dataset_image_by_content on dataset_images (sha256)',
  `create index dataset_image_by_version on dataset_images (dataset_id, sha256, from_version)`,
  `create unique index dataset_image_current on dataset_images (dataset_id, sha256)
    where to_version is null`,
  `create index dataset_image_by_label on dataset_images (dataset_id, label, split, id)
    where to_version is null`
]
