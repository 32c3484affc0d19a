/** A row of `alias_targets` as the contract shows it; apart because models and aliases both read it. */
import type { AliasTarget } from '../contract/model.ts'
import type { VariantName } from '../contract/report.ts'

export function asTarget(row: {
  readonly version: number
  readonly variant: string
  readonly share: number
}): AliasTarget {
  return { version: row.version, variant: row.variant as VariantName, share: row.share }
}
