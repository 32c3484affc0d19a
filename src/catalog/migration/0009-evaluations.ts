/**
 * Evaluations of published versions: which one a job judges, and what it found.
 *
 * The report lies here and not with the job, so that lists of jobs need not carry confusion matrices.
 */
import { type Kysely, sql } from 'kysely'

export interface EvaluationTable {
  job_id: string
  model_id: number
  version: number
  /** JSON: EvaluationReport; null until the job has completed. */
  report: string | null
}

export interface EvaluationTables {
  evaluations: EvaluationTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table evaluations (
    job_id text primary key references jobs (id) on delete cascade,
    model_id integer not null,
    version integer not null,
    report text,
    foreign key (model_id, version) references model_versions (model_id, version) on delete cascade
  )`,
  'create index evaluation_by_version on evaluations (model_id, version, job_id)'
]
