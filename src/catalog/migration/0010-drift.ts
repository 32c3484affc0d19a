/** Drift: what each variant was asked lately, as counts, and when that began and ceased to be unusual. */
import { type Generated, type Kysely, sql } from 'kysely'
import type { DriftEvent } from '../../contract/drift.ts'
import type { VariantName } from '../../contract/report.ts'
import type { DriftAspect } from '../../contract/sketch.ts'

export interface DriftWatchTable {
  model_id: number
  version: number
  variant: VariantName
  /** Unix time in milliseconds of the newest image. */
  newest_at: number
  /** Aspects that drift. */
  drifting: number
  /** JSON: WatchState. */
  state: string
}

export interface DriftEventTable {
  seq: Generated<number>
  model_id: number
  version: number
  variant: VariantName
  at: string
  aspect: DriftAspect
  event: DriftEvent['event']
  score: number
  threshold: number
  images: number
}

export interface DriftTables {
  drift_watches: DriftWatchTable
  drift_events: DriftEventTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table drift_watches (
    model_id integer not null,
    version integer not null,
    variant text not null,
    newest_at integer not null,
    drifting integer not null,
    state text not null,
    primary key (model_id, version, variant),
    foreign key (model_id, version) references model_versions (model_id, version)
      on delete cascade
  ) strict`,
  `create table drift_events (
    seq integer primary key autoincrement,
    model_id integer not null,
    version integer not null,
    variant text not null,
    at text not null,
    aspect text not null,
    event text not null check (event in ('tripped', 'cleared')),
    score real not null,
    threshold real not null,
    images integer not null,
    foreign key (model_id, version) references model_versions (model_id, version)
      on delete cascade
  ) strict`,
  'create index drift_event_by_model on drift_events (model_id, version, seq)'
]
