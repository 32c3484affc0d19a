/**
 * Brings a catalogue up to date: every migration once, in order, each in a transaction of its own.
 *
 * Kysely's Migrator does not wrap SQLite migrations in transactions; a process killed half-way would
 * leave a file that no later start can repair.
 */
import { type Kysely, sql } from 'kysely'
import type { Database } from './database.ts'
import * as datasets from './migration/0001-datasets.ts'
import * as jobs from './migration/0002-jobs.ts'
import * as models from './migration/0003-models.ts'
import * as jobEvents from './migration/0004-job-events.ts'
import * as deliveries from './migration/0005-deliveries.ts'
import * as keys from './migration/0006-keys.ts'
import * as attempts from './migration/0007-attempts.ts'
import * as importedVersions from './migration/0008-imported-versions.ts'
import * as evaluations from './migration/0009-evaluations.ts'
import * as drift from './migration/0010-drift.ts'
import * as feedback from './migration/0011-feedback.ts'
import * as canary from './migration/0012-canary.ts'
import * as predictionIndex from './migration/0013-prediction-index.ts'

/** A published migration is never edited: add the next one. */
const migrations = [
  { name: '0001-datasets', up: datasets.up },
  { name: '0002-jobs', up: jobs.up },
  { name: '0003-models', up: models.up },
  { name: '0004-job-events', up: jobEvents.up },
  { name: '0005-deliveries', up: deliveries.up },
  { name: '0006-keys', up: keys.up },
  { name: '0007-attempts', up: attempts.up },
  { name: '0008-imported-versions', up: importedVersions.up },
  { name: '0009-evaluations', up: evaluations.up },
  { name: '0010-drift', up: drift.up },
  { name: '0011-feedback', up: feedback.up },
  { name: '0012-canary', up: canary.up },
  { name: '0013-prediction-index', up: predictionIndex.up }
] as const

/** @throws Error when the file was written by a newer version of the service */
export async function migrate(catalog: Kysely<Database>): Promise<void> {
  const { rows } = await sql<{ user_version: number }>`pragma user_version`.execute(catalog)
  const applied = rows[0]?.user_version ?? 0
  if (applied > migrations.length) {
    throw new Error(
      `Cannot open the catalogue: it has version ${applied}, this service knows ${migrations.length}`
    )
  }
  for (const [index, { up }] of migrations.entries()) {
    if (index < applied) continue
    await catalog.transaction().execute(async (trx) => {
      // A migration knows the tables of its time, not those of today.
      await up(trx as unknown as Kysely<never>)
      await sql`pragma user_version = ${sql.lit(index + 1)}`.execute(trx)
    })
  }
}
