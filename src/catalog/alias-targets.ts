/** What a change of an alias comes to: its targets and its rollback, checked against the catalogue. */
import type { AliasChange, AliasTarget } from '../contract/model.ts'
import type { VariantName } from '../contract/report.ts'
import type { Rollback, RollbackWish } from '../contract/rollback.ts'
import { type Fault, ServiceError } from '../errors.ts'
import type { Catalog } from './open.ts'

export interface AliasSetting {
  readonly targets: readonly AliasTarget[]
  /** Null: nothing is watched. */
  readonly rollback: Rollback | null
}

/**
 * What a change comes to: a target without variant gets the recommended one of its version, and what a
 * rollback leaves open its defaults.
 *
 * @throws ServiceError REQUEST_INVALID with a pointer per fault.
 */
export async function resolveChange(
  db: Catalog,
  modelId: number,
  change: AliasChange
): Promise<AliasSetting> {
  const faults: Fault[] = []
  const wanted = wantedTargets(change, faults)
  const rollback = resolveRollback(change.rollback, wanted, faults)
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
  if (faults.length > 0) throw invalidAlias(faults)
  return { targets, rollback }
}

function resolveRollback(
  wish: RollbackWish | undefined,
  targets: readonly Pick<AliasTarget, 'share'>[],
  faults: Fault[]
): Rollback | null {
  if (wish === undefined) return null
  const { to, maxErrorRate = null, maxLatencyRatio = null, minRequests, windowSeconds } = wish
  if (maxErrorRate === null && maxLatencyRatio === null) {
    const detail = 'maxErrorRate or maxLatencyRatio is needed'
    faults.push({ pointer: '/rollback', detail, received: wish })
  }
  if (targets.length < 2) {
    const detail = 'needs a stable target and a canary: two targets at least'
    faults.push({ pointer: '/rollback', detail, received: targets.length })
  } else if (to !== undefined && to >= targets.length) {
    const detail = `must be the position of a target, 0 to ${targets.length - 1}`
    faults.push({ pointer: '/rollback/to', detail, received: to })
  }
  return {
    to: to ?? stablePosition(targets),
    maxErrorRate,
    maxLatencyRatio,
    minRequests: minRequests ?? 100,
    windowSeconds: windowSeconds ?? 300
  }
}

/** Of the target that the others are measured by, where nothing else is said: the first of the largest share. */
export function stablePosition(targets: readonly Pick<AliasTarget, 'share'>[]): number {
  const largest = Math.max(...targets.map(({ share }) => share))
  return targets.findIndex(({ share }) => share === largest)
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
    throw invalidAlias([
      { pointer: version === undefined ? '' : '/targets', detail, received: change }
    ])
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

export function invalidAlias(errors: readonly Fault[]): ServiceError {
  return new ServiceError('REQUEST_INVALID', {
    detail: `Cannot set the alias: ${errors.length === 1 ? '1 fault' : `${errors.length} faults`}`,
    errors
  })
}
