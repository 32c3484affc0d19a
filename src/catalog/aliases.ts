/**
 * Aliases: names such as `production` that point at one version of a model, or share the traffic
 * among several.
 *
 * Every change takes a fresh revision of the model, so an entity tag never means two states.
 */
import type { AliasChange } from '../contract/model.ts'
import type { AliasState } from '../contract/promotion.ts'
import type { Rollback, RolledBack } from '../contract/rollback.ts'
import { ServiceError } from '../errors.ts'
import { addAliasEvent, aliasEvents } from './alias-events.ts'
import { asTarget } from './alias-row.ts'
import { type AliasSetting, resolveChange } from './alias-targets.ts'
import { findModel } from './models.ts'
import type { Catalog } from './open.ts'

export interface TaggedAlias {
  readonly alias: AliasState
  /** Entity tag, quoted as in the header (RFC 9110 section 8.8.3). */
  readonly etag: string
  readonly created: boolean
}

/** `If-Match` and `If-None-Match` as received. */
export interface Preconditions {
  readonly ifMatch?: string | undefined
  readonly ifNoneMatch?: string | undefined
}

/** @throws ServiceError MODEL_NOT_FOUND, ALIAS_NOT_FOUND. */
export async function readAlias(db: Catalog, model: string, alias: string): Promise<TaggedAlias> {
  const { id } = await findModel(db, model)
  const found = await currentAlias(db, id, alias)
  if (!found) throw aliasNotFound(model, alias)
  return found
}

/**
 * Points an alias at a version or at several with shares, making it when it is new. A target without
 * variant gets the recommended one of its version.
 *
 * @throws ServiceError MODEL_NOT_FOUND, PRECONDITION_FAILED, REQUEST_INVALID with a pointer per fault.
 */
export async function setAlias(
  db: Catalog,
  { model, alias }: { readonly model: string; readonly alias: string },
  { change, ...conditions }: Preconditions & { readonly change: AliasChange }
): Promise<TaggedAlias> {
  return db.transaction().execute(async (trx) => {
    const { id } = await findModel(trx, model)
    const current = await currentAlias(trx, id, alias)
    checkPreconditions(current, conditions)
    return changeAlias(trx, { modelId: id, alias, current }, await resolveChange(trx, id, change))
  })
}

/**
 * Checks a change without making it.
 *
 * @returns what the alias would point at, and what must hold for the change to be made later on: that nobody
 *   else has changed the alias meanwhile
 * @throws like `setAlias`
 */
export async function checkChange(
  db: Catalog,
  { model, alias }: { readonly model: string; readonly alias: string },
  { change, ...conditions }: Preconditions & { readonly change: AliasChange }
): Promise<{ readonly targets: AliasSetting['targets']; readonly unchanged: Preconditions }> {
  const { id } = await findModel(db, model)
  const current = await currentAlias(db, id, alias)
  checkPreconditions(current, conditions)
  const { targets } = await resolveChange(db, id, change)
  return { targets, unchanged: unchangedSince(current) }
}

export const unchangedSince = (current: TaggedAlias | undefined): Preconditions =>
  current === undefined ? { ifNoneMatch: '*' } : { ifMatch: current.etag }

/** Writes `setting` inside a transaction, and returns the alias as it is then. */
export async function changeAlias(
  trx: Catalog,
  { modelId, alias, current }: AliasPlace & { readonly current: TaggedAlias | undefined },
  setting: AliasSetting
): Promise<TaggedAlias> {
  const etag = await writeAlias(trx, modelId, alias, setting)
  const { targets, rollback } = setting
  const events = current?.alias.events ?? []
  return {
    alias: { alias, targets: [...targets], rollback, events },
    etag,
    created: current === undefined
  }
}

export interface AliasPlace {
  readonly modelId: number
  readonly alias: string
}

/**
 * Points an alias at its stable target alone, unless it has been changed since `revision`.
 *
 * @returns whether it was done
 */
export async function rollBackAlias(
  db: Catalog,
  { modelId, alias, revision }: AliasPlace & { readonly revision: number },
  event: RolledBack
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    const current = await currentAlias(trx, modelId, alias)
    if (current?.etag !== tag(revision)) return false
    const { targets, rollback } = current.alias
    const stable = targets[rollback?.to ?? -1]
    if (stable === undefined) return false
    const setting = { targets: [{ ...stable, share: 1 }], rollback: null }
    await writeAlias(trx, modelId, alias, setting)
    await addAliasEvent(trx, { modelId, alias }, event)
    return true
  })
}

/** @throws ServiceError MODEL_NOT_FOUND, ALIAS_NOT_FOUND, PRECONDITION_FAILED. */
export async function deleteAlias(
  db: Catalog,
  { model, alias }: { readonly model: string; readonly alias: string },
  conditions: Preconditions
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { id } = await findModel(trx, model)
    const current = await currentAlias(trx, id, alias)
    if (!current) throw aliasNotFound(model, alias)
    checkPreconditions(current, conditions)
    await trx
      .deleteFrom('alias_targets')
      .where('model_id', '=', id)
      .where('alias', '=', alias)
      .execute()
    await trx.deleteFrom('aliases').where('model_id', '=', id).where('alias', '=', alias).execute()
  })
}

/** Writes an alias, unchecked, inside a transaction. Returns the new entity tag. */
export async function writeAlias(
  trx: Catalog,
  modelId: number,
  alias: string,
  { targets, rollback: settings }: AliasSetting
): Promise<string> {
  const rollback = settings && JSON.stringify(settings)
  const { next_revision: revision } = await trx
    .selectFrom('models')
    .select('next_revision')
    .where('id', '=', modelId)
    .executeTakeFirstOrThrow()
  await trx
    .updateTable('models')
    .set({ next_revision: revision + 1 })
    .where('id', '=', modelId)
    .execute()
  await trx
    .insertInto('aliases')
    .values({ model_id: modelId, alias, revision, rollback })
    .onConflict((conflict) =>
      conflict.columns(['model_id', 'alias']).doUpdateSet({ revision, rollback })
    )
    .execute()
  await trx
    .deleteFrom('alias_targets')
    .where('model_id', '=', modelId)
    .where('alias', '=', alias)
    .execute()
  for (const [position, target] of targets.entries()) {
    await trx
      .insertInto('alias_targets')
      .values({ model_id: modelId, alias, position, ...target })
      .execute()
  }
  return tag(revision)
}

export async function currentAlias(
  db: Catalog,
  modelId: number,
  alias: string
): Promise<TaggedAlias | undefined> {
  const row = await db
    .selectFrom('aliases')
    .select(['revision', 'rollback'])
    .where('model_id', '=', modelId)
    .where('alias', '=', alias)
    .executeTakeFirst()
  if (!row) return undefined
  const targets = await db
    .selectFrom('alias_targets')
    .select(['version', 'variant', 'share'])
    .where('model_id', '=', modelId)
    .where('alias', '=', alias)
    .orderBy('position')
    .execute()
  const rollback: Rollback | null = row.rollback === null ? null : JSON.parse(row.rollback)
  const events = await aliasEvents(db, { modelId, alias })
  return {
    alias: { alias, targets: targets.map(asTarget), rollback, events },
    etag: tag(row.revision),
    created: false
  }
}

/** RFC 9110 section 13.1. The comparison is strong: these tags are never weak. */
export function checkPreconditions(
  current: TaggedAlias | undefined,
  { ifMatch, ifNoneMatch }: Preconditions
): void {
  if (ifMatch !== undefined && !matches(ifMatch, current?.etag)) {
    throw failed('If-Match', ifMatch, current?.etag)
  }
  if (ifNoneMatch !== undefined && matches(ifNoneMatch, current?.etag)) {
    throw failed('If-None-Match', ifNoneMatch, current?.etag)
  }
}

function matches(header: string, etag: string | undefined): boolean {
  if (etag === undefined) return false
  return header.split(',').some((part) => part.trim() === '*' || part.trim() === etag)
}

function failed(header: string, received: string, etag: string | undefined): ServiceError {
  const state = etag === undefined ? 'the alias does not exist' : `the alias is at ${etag}`
  return new ServiceError('PRECONDITION_FAILED', {
    detail: `Cannot change the alias: ${state}, received ${header}: ${received}`
  })
}

export function aliasNotFound(model: string, alias: string): ServiceError {
  return new ServiceError('ALIAS_NOT_FOUND', {
    detail: `Cannot find the alias: model ${model} has none of this name, received ${alias}`
  })
}

const tag = (revision: number): string => `"r${revision}"`
