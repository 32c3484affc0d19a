/** Deleting a version asks which predictions were its own. */
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<never>): Promise<void> {
  await sql`create index prediction_by_version on predictions (model_id, version)`.execute(db)
}
