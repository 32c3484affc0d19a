/**
 * What a job reports of its epochs: one row for each, however often it is run.
 *
 * An epoch that is run again after a crash comes to the same numbers on the same machine. Its first row
 * then stays, so that nobody is told of it twice; only its times would differ.
 */
import type { Metric } from '../contract/job.ts'
import type { CatalogTransaction } from './database.ts'

interface MetricRef {
  readonly id: string
  readonly attempt: number
}

/** Stores an epoch. Other numbers than before (the job has gone on elsewhere) replace the row. */
export async function recordMetric(
  trx: CatalogTransaction,
  { id, attempt }: MetricRef,
  metric: Metric
): Promise<void> {
  const { stage, epoch } = metric
  const known = await trx
    .selectFrom('job_metrics')
    .select('metric')
    .where('job_id', '=', id)
    .where('stage', '=', stage)
    .where('epoch', '=', epoch)
    .executeTakeFirst()
  if (known !== undefined && agree(JSON.parse(known.metric), metric)) return
  const text = JSON.stringify(metric)
  await trx
    .insertInto('job_metrics')
    .values({ job_id: id, stage, epoch, attempt, metric: text })
    .onConflict((conflict) =>
      conflict.columns(['job_id', 'stage', 'epoch']).doUpdateSet({ attempt, metric: text })
    )
    .execute()
}

/** Whether two reports of an epoch say the same, whenever and however fast it was run. */
function agree(one: Metric, other: Metric): boolean {
  return (
    one.loss === other.loss &&
    one.accuracy === other.accuracy &&
    one.validation.loss === other.validation.loss &&
    one.validation.accuracy === other.validation.accuracy &&
    one.learningRate === other.learningRate
  )
}
