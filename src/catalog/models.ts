/** Reading and deleting published models, versions and artifacts. */
import type {
  AliasTarget,
  Artifact,
  DatasetReference,
  Model,
  ModelVersion
} from '../contract/model.ts'
import type { VariantName, VersionReport } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { asTarget } from './alias-row.ts'
import { assertNotJudged } from './evaluations.ts'
import type { Catalog } from './open.ts'

interface ModelRow {
  readonly id: number
  readonly name: string
  readonly created_at: string
}

export interface ModelPage {
  readonly items: Model[]
  /** Id of the last row, where the next page begins; null at the end. */
  readonly next: number | null
}

/** Models, newest first, at most `limit` of those older than row `before`. */
export async function listModels(
  db: Catalog,
  { limit, before }: { readonly limit: number; readonly before: number | null }
): Promise<ModelPage> {
  const rows = await db
    .selectFrom('models')
    .select(['id', 'name', 'created_at'])
    .$if(before !== null, (query) => query.where('id', '<', before))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute()
  const page = rows.slice(0, limit)
  return {
    items: await Promise.all(page.map((row) => describe(db, row))),
    next: rows.length > limit ? (page.at(-1)?.id ?? null) : null
  }
}

/** @throws ServiceError MODEL_NOT_FOUND. */
export async function readModel(db: Catalog, name: string): Promise<Model> {
  return describe(db, await findModel(db, name))
}

/** @throws ServiceError MODEL_NOT_FOUND, VERSION_NOT_FOUND. */
export async function readVersion(
  db: Catalog,
  name: string,
  version: number
): Promise<ModelVersion> {
  const { id } = await findModel(db, name)
  const row = await db
    .selectFrom('model_versions')
    .selectAll()
    .where('model_id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst()
  if (!row) throw versionNotFound(name, version)
  const report: VersionReport = JSON.parse(row.report)
  const dataset: DatasetReference | null = row.dataset && JSON.parse(row.dataset)
  const artifacts = await artifactRows(db, id, version).orderBy('file').execute()
  return {
    model: name,
    version,
    createdAt: row.created_at,
    job: row.job,
    dataset,
    ...report,
    artifacts: artifacts.map(asArtifact)
  }
}

/** @throws ServiceError MODEL_NOT_FOUND, VERSION_NOT_FOUND, ARTIFACT_NOT_FOUND. */
export async function readArtifact(
  db: Catalog,
  {
    name,
    version,
    file
  }: { readonly name: string; readonly version: number; readonly file: string }
): Promise<Artifact> {
  const found = await findArtifact(db, { name, version, file })
  if (found !== undefined) return found
  const { id } = await findModel(db, name)
  const rows = await artifactRows(db, id, version).orderBy('file').execute()
  if (rows.length === 0) throw versionNotFound(name, version)
  throw new ServiceError('ARTIFACT_NOT_FOUND', {
    detail: `Cannot find the artifact: ${name} version ${version} has ${rows.map((r) => r.file).join(', ')}, received ${file}`
  })
}

/** An artifact of a version, if there is one of this name. */
export async function findArtifact(
  db: Catalog,
  {
    name,
    version,
    file
  }: { readonly name: string; readonly version: number; readonly file: string }
): Promise<Artifact | undefined> {
  const { id } = await findModel(db, name)
  const row = await artifactRows(db, id, version).where('file', '=', file).executeTakeFirst()
  return row && asArtifact(row)
}

/**
 * Deletes a version. Its number is never given again.
 *
 * @returns SHA-256 of its files, which others may have as well
 * @throws ServiceError MODEL_NOT_FOUND, VERSION_NOT_FOUND, VERSION_IN_USE.
 */
export async function deleteVersion(db: Catalog, name: string, version: number): Promise<string[]> {
  return db.transaction().execute(async (trx) => {
    const { id } = await findModel(trx, name)
    await assertNotJudged(trx, { modelId: id, version })
    const users = await trx
      .selectFrom('alias_targets')
      .select('alias')
      .distinct()
      .where('model_id', '=', id)
      .where('version', '=', version)
      .execute()
    if (users.length > 0) {
      throw new ServiceError('VERSION_IN_USE', {
        detail: `Cannot delete ${name} version ${version}: aliases point at it, received ${users.map((u) => u.alias).join(', ')}`
      })
    }
    const files = await trx
      .deleteFrom('artifacts')
      .where('model_id', '=', id)
      .where('version', '=', version)
      .returning('sha256')
      .execute()
    await trx
      .deleteFrom('evaluations')
      .where('model_id', '=', id)
      .where('version', '=', version)
      .execute()
    const deleted = await trx
      .deleteFrom('model_versions')
      .where('model_id', '=', id)
      .where('version', '=', version)
      .executeTakeFirst()
    if (deleted.numDeletedRows === 0n) throw versionNotFound(name, version)
    return files.map(({ sha256 }) => sha256)
  })
}

/**
 * Deletes a model with its aliases, versions and artifacts.
 *
 * @returns SHA-256 of its files, which others may have as well
 * @throws ServiceError MODEL_NOT_FOUND, VERSION_IN_USE while one of its versions is evaluated.
 */
export async function deleteModel(db: Catalog, name: string): Promise<string[]> {
  return db.transaction().execute(async (trx) => {
    const { id } = await findModel(trx, name)
    await assertNotJudged(trx, { modelId: id })
    const files = await trx
      .deleteFrom('artifacts')
      .where('model_id', '=', id)
      .returning('sha256')
      .execute()
    for (const table of ownedTables) {
      await trx.deleteFrom(table).where('model_id', '=', id).execute()
    }
    await trx.deleteFrom('models').where('id', '=', id).execute()
    return files.map(({ sha256 }) => sha256)
  })
}

/** What goes with a model, in the order in which it may go. */
const ownedTables = [
  'alias_events',
  'alias_targets',
  'aliases',
  'evaluations',
  'model_versions'
] as const

/** @throws ServiceError MODEL_NOT_FOUND. */
export async function findModel(db: Catalog, name: string): Promise<ModelRow> {
  const row = await db
    .selectFrom('models')
    .select(['id', 'name', 'created_at'])
    .where('name', '=', name)
    .executeTakeFirst()
  if (!row) throw modelNotFound(name)
  return row
}

export function modelNotFound(name: string): ServiceError {
  return new ServiceError('MODEL_NOT_FOUND', {
    detail: `Cannot find the model: none has this name, received ${name}`
  })
}

export function versionNotFound(name: string, version: number): ServiceError {
  return new ServiceError('VERSION_NOT_FOUND', {
    detail: `Cannot find the version: model ${name} has none of this number, received ${version}`
  })
}

async function describe(db: Catalog, { id, name, created_at }: ModelRow): Promise<Model> {
  const versions = await db
    .selectFrom('model_versions')
    .select(['version', 'created_at', 'job', 'recommended', 'accuracy'])
    .where('model_id', '=', id)
    .orderBy('version', 'desc')
    .execute()
  const targets = await db
    .selectFrom('alias_targets')
    .select(['alias', 'version', 'variant', 'share'])
    .where('model_id', '=', id)
    .orderBy('alias')
    .orderBy('position')
    .execute()
  const aliases = new Map<string, AliasTarget[]>()
  for (const row of targets) {
    aliases.set(row.alias, [...(aliases.get(row.alias) ?? []), asTarget(row)])
  }
  return {
    name,
    createdAt: created_at,
    aliases: [...aliases].map(([alias, targets]) => ({ alias, targets })),
    versions: versions.map(({ created_at, recommended, ...rest }) => ({
      ...rest,
      createdAt: created_at,
      recommended: recommended as VariantName
    }))
  }
}

function artifactRows(db: Catalog, modelId: number, version: number) {
  return db
    .selectFrom('artifacts')
    .select(['file', 'bytes', 'sha256', 'media_type'])
    .where('model_id', '=', modelId)
    .where('version', '=', version)
}

function asArtifact(row: {
  readonly file: string
  readonly bytes: number
  readonly sha256: string
  readonly media_type: string
}): Artifact {
  return { file: row.file, bytes: row.bytes, sha256: row.sha256, mediaType: row.media_type }
}
