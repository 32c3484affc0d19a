/** Points an alias at one version alone, if what was measured of it passes. */
import type { AliasTarget, DatasetReference } from '../contract/model.ts'
import type { Comparison, Promotion, PromotionAnswer } from '../contract/promotion.ts'
import type { VersionReport, VersionVariant } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { addAliasEvent } from './alias-events.ts'
import { invalidAlias, resolveChange, stablePosition } from './alias-targets.ts'
import {
  changeAlias,
  checkPreconditions,
  currentAlias,
  type Preconditions,
  type TaggedAlias,
  unchangedSince
} from './aliases.ts'
import { findModel } from './models.ts'
import type { Catalog } from './open.ts'

interface MeasuredTarget {
  /** Null of a model made elsewhere. */
  readonly dataset: DatasetReference | null
  readonly report: VersionVariant
}

interface PromoteOptions extends Preconditions {
  readonly promotion: Promotion
  /** What the gate finds; nothing is moved unless all of it has passed. */
  readonly compare: (
    gate: NonNullable<Promotion['gate']>,
    pair: { readonly candidate: MeasuredTarget; readonly serving: MeasuredTarget | null }
  ) => Comparison[]
}

export interface PromotedAlias extends Omit<TaggedAlias, 'alias'> {
  readonly answer: PromotionAnswer
}

/**
 * Of an alias that shares its traffic, what it serves is its stable target.
 *
 * @throws ServiceError MODEL_NOT_FOUND, PRECONDITION_FAILED, REQUEST_INVALID with a pointer per fault,
 *   PROMOTION_REFUSED with a fault for each bound that does not hold.
 */
export async function promoteAlias(
  db: Catalog,
  { model, alias }: { readonly model: string; readonly alias: string },
  options: PromoteOptions
): Promise<PromotedAlias> {
  return db.transaction().execute(async (trx) => {
    const { id, current, to, compared } = await judge(trx, { model, alias }, options)
    const setting = { targets: [to], rollback: null }
    const moved = await changeAlias(trx, { modelId: id, alias, current }, setting)
    const replaced = current?.alias.targets ?? []
    const at = new Date().toISOString()
    const event = { at, what: 'promoted', to, replaced, compared } as const
    await addAliasEvent(trx, { modelId: id, alias }, event)
    const events = [event, ...moved.alias.events]
    return {
      answer: { ...moved.alias, events, compared },
      etag: moved.etag,
      created: moved.created
    }
  })
}

/**
 * Checks a promotion without making it.
 *
 * @returns what would be promoted, and what must hold for it to be done later on
 * @throws like `promoteAlias`
 */
export async function checkPromotion(
  db: Catalog,
  place: { readonly model: string; readonly alias: string },
  options: PromoteOptions
): Promise<{ readonly to: AliasTarget; readonly unchanged: Preconditions }> {
  const { to, current } = await judge(db, place, options)
  return { to, unchanged: unchangedSince(current) }
}

async function judge(
  db: Catalog,
  { model, alias }: { readonly model: string; readonly alias: string },
  { promotion, compare, ...conditions }: PromoteOptions
) {
  const { id } = await findModel(db, model)
  const current = await currentAlias(db, id, alias)
  checkPreconditions(current, conditions)
  const to = await candidateOf(db, id, promotion)
  const serving = current && stableOf(current)
  const compared = compare(promotion.gate ?? {}, {
    candidate: await measured(db, id, to),
    serving: serving === undefined ? null : await measured(db, id, serving)
  })
  if (compared.some(({ passed }) => !passed)) throw refused({ model, alias, to }, compared)
  return { id, current, to, compared }
}

async function candidateOf(
  trx: Catalog,
  modelId: number,
  { version, variant, from }: Promotion
): Promise<AliasTarget> {
  if ((version === undefined) === (from === undefined)) {
    const pointer = version === undefined ? '' : '/from'
    throw invalidAlias([{ pointer, detail: 'either version or from is needed', received: from }])
  }
  if (from === undefined) {
    const change = { version: version as number, ...(variant === undefined ? {} : { variant }) }
    const { targets } = await resolveChange(trx, modelId, change)
    return targets[0] as AliasTarget
  }
  if (variant !== undefined) {
    const detail = 'belongs to a version; from takes the variant of its alias'
    throw invalidAlias([{ pointer: '/variant', detail, received: variant }])
  }
  const source = await currentAlias(trx, modelId, from)
  const fault = (detail: string) => invalidAlias([{ pointer: '/from', detail, received: from }])
  if (source === undefined) throw fault('no such alias')
  return canaryOf(source, fault)
}

/** The only target of an alias, or the one beside its stable one. */
function canaryOf(source: TaggedAlias, fault: (detail: string) => ServiceError): AliasTarget {
  const { targets } = source.alias
  const [only] = targets
  const [canary, ...others] = targets.filter((target) => target !== stableOf(source))
  if (others.length > 0) {
    throw fault(`must have one target, or a stable one and one more; has ${targets.length}`)
  }
  const chosen = canary ?? only
  if (chosen === undefined) throw fault('must have a target')
  return { ...chosen, share: 1 }
}

function stableOf({ alias: { targets, rollback } }: TaggedAlias): AliasTarget | undefined {
  return targets[rollback?.to ?? stablePosition(targets)]
}

async function measured(
  trx: Catalog,
  modelId: number,
  { version, variant }: AliasTarget
): Promise<MeasuredTarget> {
  const row = await trx
    .selectFrom('model_versions')
    .select(['dataset', 'report'])
    .where('model_id', '=', modelId)
    .where('version', '=', version)
    .executeTakeFirstOrThrow()
  const { variants }: VersionReport = JSON.parse(row.report)
  const dataset = row.dataset === null ? null : JSON.parse(row.dataset)
  return { dataset, report: variants[variant] as VersionVariant }
}

interface Refusal {
  readonly model: string
  readonly alias: string
  readonly to: AliasTarget
}

function refused({ model, alias, to }: Refusal, compared: readonly Comparison[]): ServiceError {
  const held = compared.filter(({ passed }) => passed)
  const broken = compared.filter(({ passed }) => !passed)
  const also = held.map(({ bound, detail }) => `; ${bound} holds, ${detail}`).join('')
  return new ServiceError('PROMOTION_REFUSED', {
    detail: `Cannot promote ${model} version ${to.version} (${to.variant}) to ${alias}: ${broken.length} of ${compared.length} bounds do not hold${also}`,
    errors: broken.map(({ bound, measured: received, detail }) => ({
      pointer: `/gate/${bound}`,
      detail,
      received
    }))
  })
}
