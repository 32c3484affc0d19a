/**
 * Aliases: names such as `production` that point at one version of a model, or share the traffic
 * among several.
 *
 * Every change takes a fresh revision of the model, so an entity tag never means two states.
 */
import type { Alias, AliasChange, AliasTarget } from '../contract/model.ts'
import type { VariantName } from '../contract/report.ts'
import { type Fault, ServiceError } from '../errors.ts'
import { asTarget } from './alias-row.ts'
import { findModel } from './models.ts'
import type { Catalog } from './open.ts'

export interface TaggedAlias {
  readonly alias: Alias
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
    const targets = await resolveTargets(trx, id, change)
    const etag = await writeAlias(trx, id, alias, targets)
    return { alias: { alias, targets }, etag, created: current === undefined }
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

/** Writes the targets of an alias, unchecked, inside a transaction. Returns the new entity tag. */
export async function writeAlias(
  trx: Catalog,
  modelId: number,
  alias: string,
  targets: readonly AliasTarget[]
): Promise<string> {
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
    .values({ model_id: modelId, alias, revision })
    .onConflict((conflict) => conflict.columns(['model_id', 'alias']).doUpdateSet({ revision }))
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

async function currentAlias(
  db: Catalog,
  modelId: number,
  alias: string
): Promise<TaggedAlias | undefined> {
  const row = await db
    .selectFrom('aliases')
    .select('revision')
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
  return {
    alias: { alias, targets: targets.map(asTarget) },
    etag: tag(row.revision),
    created: false
  }
}

async function resolveTargets(
  db: Catalog,
  modelId: number,
  change: AliasChange
): Promise<AliasTarget[]> {
  const faults: Fault[] = []
  const wanted = wantedTargets(change, faults)
  const targets: AliasTarget[] = []
  for (const { version, variant, share, at } of wanted) {
    const row = await db
      .selectFrom('model_versions')
      .select(['recommended', 'report'])
      .where('model_id', '=', modelId)
      .where('version', '=', version)
      .executeTakeFirst()
    if (!row) {
      faults.push({ pointer: `${at}/version`, detail: 'no such version', received: version })
      continue
    }
    const known = Object.keys(JSON.parse(row.report).variants)
    const chosen = variant ?? (row.recommended as VariantName)
    if (!known.includes(chosen)) {
      const detail = `no such variant; version ${version} has ${known.join(', ')}`
      faults.push({ pointer: `${at}/variant`, detail, received: chosen })
    } else if (targets.some((t) => t.version === version && t.variant === chosen)) {
      faults.push({ pointer: at, detail: 'the same target is listed twice', received: version })
    }
    targets.push({ version, variant: chosen, share })
  }
  if (faults.length > 0) throw invalid(faults)
  return targets
}

interface WantedTarget {
  readonly version: number
  readonly variant: VariantName | undefined
  readonly share: number
  /** Pointer of the object that names it. */
  readonly at: string
}

function wantedTargets(change: AliasChange, faults: Fault[]): WantedTarget[] {
  const { version, variant, targets } = change
  if ((version === undefined) === (targets === undefined)) {
    const detail = 'either version or targets is needed'
    throw invalid([{ pointer: version === undefined ? '' : '/targets', detail, received: change }])
  }
  if (version !== undefined) return [{ version, variant, share: 1, at: '' }]
  if (variant !== undefined) {
    faults.push({ pointer: '/variant', detail: 'belongs into each target', received: variant })
  }
  const listed = targets ?? []
  for (const [i, target] of listed.entries()) {
    if (listed.length > 1 && target.share === undefined) {
      faults.push({ pointer: `/targets/${i}/share`, detail: 'needed with several targets' })
    }
  }
  const shares = listed.map((target) => target.share ?? (listed.length === 1 ? 1 : 0))
  const sum = shares.reduce((total, share) => total + share, 0)
  if (Math.abs(sum - 1) > 1e-6) {
    faults.push({ pointer: '/targets', detail: 'the shares must sum to 1', received: sum })
  }
  return listed.map((target, i) => ({
    version: target.version,
    variant: target.variant,
    share: shares[i] ?? 0,
    at: `/targets/${i}`
  }))
}

/** RFC 9110 section 13.1. The comparison is strong: these tags are never weak. */
function checkPreconditions(
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

function invalid(errors: readonly Fault[]): ServiceError {
  return new ServiceError('REQUEST_INVALID', {
    detail: `Cannot set the alias: ${errors.length === 1 ? '1 fault' : `${errors.length} faults`}`,
    errors
  })
}

export function aliasNotFound(model: string, alias: string): ServiceError {
  return new ServiceError('ALIAS_NOT_FOUND', {
    detail: `Cannot find the alias: model ${model} has none of this name, received ${alias}`
  })
}

const tag = (revision: number): string => `"r${revision}"`
