/**
 * Publishing: a job's outcome, or a model made elsewhere, becomes the next version of its model.
 *
 * Called inside the transaction that completes the job, so either both are seen or neither.
 */
import type { Artifact, DatasetReference } from '../contract/model.ts'
import type { VersionReport } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { writeAlias } from './aliases.ts'
import type { Catalog } from './open.ts'

export interface Publication {
  /** Null, as the dataset is, of a model made elsewhere. */
  readonly job: string | null
  readonly model: string
  readonly dataset: DatasetReference | null
  readonly report: VersionReport
  readonly artifacts: readonly Artifact[]
  /** The alias that was asked to be moved, or null. */
  readonly alias: string | null
  /** Key that posted the job or the model; null without keys. */
  readonly owner: string | null
}

/**
 * Publishes a version and returns its number. Idempotent: the same job gets the same number.
 *
 * The first version ever published under a name sets `production`; later ones move only the alias
 * that is named.
 *
 * @throws ServiceError MODEL_INVALID when the report names a variant or file that was not uploaded.
 */
export async function publishVersion(trx: Catalog, publication: Publication): Promise<number> {
  const { job, dataset, report, artifacts, alias } = publication
  const published = job === null ? undefined : await versionOf(trx, job)
  if (published) return published.version
  const accuracy = checkReport(report, artifacts)

  const { id, version } = await takeVersion(trx, publication.model)
  await trx
    .insertInto('model_versions')
    .values({
      model_id: id,
      version,
      job,
      created_at: new Date().toISOString(),
      dataset: dataset && JSON.stringify(dataset),
      recommended: report.recommended,
      accuracy,
      report: JSON.stringify(report),
      owner: publication.owner
    })
    .execute()
  for (const { file, sha256, bytes, mediaType } of artifacts) {
    await trx
      .insertInto('artifacts')
      .values({ model_id: id, version, file, sha256, bytes, media_type: mediaType })
      .execute()
  }
  const moved = new Set([...(version === 1 ? ['production'] : []), ...(alias ? [alias] : [])])
  for (const name of moved) {
    const targets = [{ version, variant: report.recommended, share: 1 }]
    await writeAlias(trx, id, name, { targets, rollback: null })
  }
  return version
}

const versionOf = (trx: Catalog, job: string) =>
  trx.selectFrom('model_versions').select('version').where('job', '=', job).executeTakeFirst()

/** Takes the next version number of a model, making the model when it is new. */
async function takeVersion(trx: Catalog, name: string): Promise<{ id: number; version: number }> {
  await trx
    .insertInto('models')
    .values({ name, created_at: new Date().toISOString(), next_version: 1, next_revision: 1 })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute()
  const { id, next_version: version } = await trx
    .selectFrom('models')
    .select(['id', 'next_version'])
    .where('name', '=', name)
    .executeTakeFirstOrThrow()
  await trx
    .updateTable('models')
    .set({ next_version: version + 1 })
    .where('id', '=', id)
    .execute()
  return { id, version }
}

/** Returns the test accuracy of the recommended variant; null when it was not measured. */
function checkReport(report: VersionReport, artifacts: readonly Artifact[]): number | null {
  const files = new Set(artifacts.map(({ file }) => file))
  for (const [variant, { file }] of Object.entries(report.variants)) {
    if (!files.has(file)) throw invalid(`the file of variant ${variant}, ${file}, is missing`)
  }
  const recommended = report.variants[report.recommended]
  if (!recommended) throw invalid(`the recommended variant ${report.recommended} is missing`)
  return recommended.accuracy?.test.value ?? null
}

function invalid(reason: string): ServiceError {
  return new ServiceError('MODEL_INVALID', { detail: `Cannot publish the model: ${reason}` })
}
