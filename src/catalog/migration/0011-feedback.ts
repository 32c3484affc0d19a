/** Predictions that are remembered for a while, and what callers said was right. */
import { type Generated, type Kysely, sql } from 'kysely'
import type { VariantName } from '../../contract/report.ts'

interface Predicted {
  /** `pred_...` and the place of the image in its request. */
  id: string
  position: number
  model_id: number
  version: number
  variant: VariantName
  predicted: string
  score: number
  /** When it was predicted. */
  at: string
}

export interface PredictionTable extends Predicted {
  /** Grows by one a row, and rows go in their order: the newest and the oldest tell how many there are. */
  seq: Generated<number>
  /** Of the encoded image; null where pixels were sent. */
  sha256: string | null
}

/** Outlives the prediction, which it repeats. */
export interface FeedbackTable extends Predicted {
  seq: Generated<number>
  label: string
  given_at: string
  /** JSON: what came of adding the image to a dataset; null where that was not asked for. */
  added: string | null
}

export interface FeedbackTables {
  predictions: PredictionTable
  feedback: FeedbackTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const columns = `seq integer primary key autoincrement,
    id text not null,
    position integer not null,
    model_id integer not null,
    version integer not null,
    variant text not null,
    predicted text not null,
    score real not null,
    at text not null`
const constraints = `unique (id, position),
    foreign key (model_id, version) references model_versions (model_id, version)
      on delete cascade`

const statements = [
  // No index by version: one more would make every prediction dearer, and versions are seldom deleted.
  `create table predictions (${columns}, sha256 text, ${constraints}) strict`,
  `create table feedback (
    ${columns}, label text not null, given_at text not null, added text, ${constraints}) strict`,
  'create index feedback_by_answer on feedback (model_id, version, variant, label, predicted)',
  'create index feedback_by_model on feedback (model_id, seq)'
]
