/**
 * Structured pruning of a trained network to a MACs target.
 *
 * Trace what goes together, score it, choose widths, rewrite. Re-estimating batch norm and fine-tuning
 * are the worker's next steps, with `train/`: no room here can train.
 */
import type { criteria } from '../contract/recipe.ts'
import { macs as countMacs, parameters as countParameters } from '../network/cost.ts'
import type { Network, ParamRef, Weights } from '../network/graph.ts'
import { type ChannelTrace, traceChannels, type UnitCut } from '../network/trace-channels.ts'
import { chooseWidths } from './choose.ts'
import { batchNormScale } from './criterion/batch-norm-scale.ts'
import { l2 } from './criterion/l2.ts'
import { taylor } from './criterion/taylor.ts'
import type { Criterion } from './criterion.ts'
import { removeUnits, reshapeNetwork } from './rewrite.ts'
import { scoreGroups } from './score.ts'

export type CriterionName = (typeof criteria)[number]

const criterionOf: Readonly<Record<CriterionName, Criterion>> = {
  l2,
  'batch-norm-scale': batchNormScale,
  taylor
}

export interface PruneInput {
  /** Share of the MACs to keep, in (0, 1]. */
  readonly macs: number
  /** Kept widths are multiples of it: 16 for int8 kernels. */
  readonly roundTo: number
  readonly criterion: CriterionName
  /** Mean gradients of the loss by parameter name; needed by taylor alone. */
  readonly gradients?: Weights
}

export interface PruneReport {
  /** Every group that could shrink, in network order, with its width before and after. */
  readonly groups: readonly {
    readonly nodes: readonly string[]
    readonly before: number
    readonly after: number
  }[]
  readonly macs: { readonly before: number; readonly after: number; readonly target: number }
  readonly parameters: { readonly before: number; readonly after: number }
  /** False when the floors of all groups leave the network above the target. */
  readonly reached: boolean
}

export interface Pruned {
  readonly network: Network
  readonly weights: Weights
  readonly report: PruneReport
}

/**
 * Removes the least important channels until at most `macs` of the multiply-accumulates remain.
 *
 * Groups never fall below `roundTo` channels or a tenth of their width; when that keeps the network
 * above the target, the smallest network within these floors is returned and `reached` is false.
 *
 * @throws RangeError on options out of range; TypeError when weights or gradients are missing.
 */
export const pruneChannels = (network: Network, weights: Weights, input: PruneInput): Pruned => {
  check(input)
  const trace = traceChannels(network)
  const scores = scoreGroups(trace, criterionOf[input.criterion], {
    weights,
    gradients: input.gradients,
    parameters: parametersOf(network)
  })
  const before = countMacs(network)
  const target = Math.floor(before * input.macs)
  const choice = chooseWidths(
    trace.groups.map(({ units }, i) => ({ scores: scores[i] ?? null, width: units.length })),
    { target, roundTo: input.roundTo, macsAt: macsAt(network, trace) }
  )
  const removed = leastImportant(trace, scores, choice.widths)
  const pruned = removeUnits(network, weights, { trace, removed })
  return {
    ...pruned,
    report: {
      groups: trace.groups.map(({ nodes, units }, i) => {
        return { nodes, before: units.length, after: choice.widths[i] as number }
      }),
      macs: { before, after: countMacs(pruned.network), target },
      parameters: { before: countParameters(network), after: countParameters(pruned.network) },
      reached: choice.macs <= target
    }
  }
}

const check = ({ macs, roundTo, criterion }: PruneInput): void => {
  if (!(macs > 0 && macs <= 1)) {
    throw new RangeError(`Cannot prune: macs must lie in (0, 1], received ${macs}`)
  }
  if (!Number.isInteger(roundTo) || roundTo < 1) {
    throw new RangeError(`Cannot prune: roundTo must be a positive integer, received ${roundTo}`)
  }
  if (!Object.hasOwn(criterionOf, criterion)) {
    throw new RangeError(`Cannot prune: unknown criterion, received ${criterion}`)
  }
}

const parametersOf = (network: Network): ReadonlyMap<string, ParamRef> =>
  new Map(
    network.nodes.flatMap(({ params }) => Object.values(params).map((ref) => [ref.name, ref]))
  )

/**
 * MACs of the network as a function of its groups' widths. All units of a group occur equally often in
 * a cut (they come from the same nodes in the same way), so a width says how long each axis becomes.
 */
const macsAt = (network: Network, trace: ChannelTrace) => {
  const groupOf = new Map<number, number>()
  for (const [group, { units }] of trace.groups.entries()) {
    for (const unit of units) groupOf.set(unit, group)
  }
  const cuts = trace.cuts.map((cut) => occurrences(cut, groupOf, trace))
  return (widths: readonly number[]): number => {
    const lengthOf = (_cut: UnitCut, index: number) => {
      const { fixed, times } = cuts[index] as ReturnType<typeof occurrences>
      return times.reduce((sum, [group, n]) => sum + n * (widths[group] as number), fixed)
    }
    return countMacs(reshapeNetwork(network, trace, lengthOf))
  }
}

/** How often each unit of each group stands in a cut, and how many of its indices are fixed. */
const occurrences = (
  { units }: UnitCut,
  groupOf: ReadonlyMap<number, number>,
  { groups }: ChannelTrace
) => {
  const counts = new Map<number, number>()
  let fixed = 0
  for (const unit of units) {
    const group = groupOf.get(unit)
    if (group === undefined) fixed++
    else counts.set(group, (counts.get(group) ?? 0) + 1)
  }
  const times = [...counts].map(([group, count]) => {
    return [group, count / (groups[group]?.units.length ?? 1)] as const
  })
  return { fixed, times }
}

/** Of every group the units with the lowest scores, down to its width. Of equals the first ones stay. */
const leastImportant = (
  trace: ChannelTrace,
  scores: readonly (Float64Array | null)[],
  widths: readonly number[]
): ReadonlySet<number> => {
  const removed = new Set<number>()
  for (const [group, { units }] of trace.groups.entries()) {
    const score = scores[group]
    if (!score) continue
    const ranked = [...units.keys()].sort((a, b) => (score[b] as number) - (score[a] as number))
    for (const i of ranked.slice(widths[group])) removed.add(units[i] as number)
  }
  return removed
}
