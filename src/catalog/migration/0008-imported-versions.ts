/** Versions that no job made: models made elsewhere have no job, no dataset, and no accuracy at first. */
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  for (const column of ['job', 'dataset', 'accuracy']) {
    // SQLite has this since 3.53 (sqlite.org/lang_altertable.html), as PostgreSQL has.
    await sql`alter table model_versions alter column ${sql.ref(column)} drop not null`.execute(db)
  }
}
