/**
 * Importance of every unit: member by member, then summed over all members that go together.
 *
 * Fang et al., "DepGraph", 2023. arXiv:2301.12900, section 3.3: the sum over the group matters more than
 * the criterion. Members are first turned into shares of their group's total, else large layers decide.
 */
import type { ParamRef, Weights } from '../network/graph.ts'
import type { ChannelTrace, UnitCut } from '../network/trace-channels.ts'
import type { Criterion } from './criterion.ts'

export interface ScoreInput {
  readonly weights: Weights
  readonly gradients: Weights | undefined
  /** By parameter name. */
  readonly parameters: ReadonlyMap<string, ParamRef>
}

/**
 * For each group of the trace the score of each of its units, or null where the criterion judges none.
 *
 * @throws TypeError when weights or needed gradients are missing.
 */
export const scoreGroups = (
  trace: ChannelTrace,
  criterion: Criterion,
  input: ScoreInput
): readonly (Float64Array | null)[] => {
  const members = [...sumMembers(trace, criterion, input).values()]
  return trace.groups.map(({ units }) => {
    const judging = members.filter((sums) => units.every((unit) => sums.has(unit)))
    if (judging.length === 0) return null
    const scores = new Float64Array(units.length)
    for (const sums of judging) {
      const finished = units.reduce<number[]>((all, unit) => {
        all.push(criterion.finish(sums.get(unit) as number))
        return all
      }, [])
      const total = finished.reduce((sum, score) => sum + score, 0)
      const divisor = criterion.normalise && total > 0 ? total : 1
      for (const [i, score] of finished.entries()) {
        scores[i] = (scores[i] as number) + score / divisor
      }
    }
    return scores
  })
}

/** Member name → unit → sum of its elements. */
const sumMembers = (
  trace: ChannelTrace,
  criterion: Criterion,
  input: ScoreInput
): ReadonlyMap<string, Map<number, number>> => {
  const members = new Map<string, Map<number, number>>()
  for (const cut of trace.cuts) {
    const { shape } = lookUp(input.parameters, cut.parameter, 'shape')
    const name = criterion.member(cut, shape)
    if (name === undefined) continue
    const sums = members.get(name) ?? new Map<number, number>()
    members.set(name, sums)
    for (const [index, sum] of sumSlices(cut, shape, criterion, input).entries()) {
      const unit = cut.units[index] as number
      sums.set(unit, (sums.get(unit) ?? 0) + sum)
    }
  }
  return members
}

/** The sum over every slice along the cut's axis. */
const sumSlices = (
  { parameter, axis, units }: UnitCut,
  shape: readonly number[],
  criterion: Criterion,
  { weights, gradients }: ScoreInput
): Float64Array => {
  const values = lookUp(weights, parameter, 'weights')
  const slopes = criterion.needsGradients
    ? lookUp(gradients ?? new Map<string, Float32Array>(), parameter, 'gradients')
    : undefined
  const inner = shape.slice(axis + 1).reduce((product, side) => product * side, 1)
  const sums = new Float64Array(units.length)
  for (let i = 0; i < values.length; i++) {
    const index = Math.floor(i / inner) % units.length
    const added = criterion.element(values[i] as number, slopes ? (slopes[i] as number) : 0)
    sums[index] = (sums[index] as number) + added
  }
  return sums
}

const lookUp = <T>(map: ReadonlyMap<string, T>, parameter: string, what: string): T => {
  const found = map.get(parameter)
  if (found === undefined) throw new TypeError(`Cannot score ${parameter}: it has no ${what}`)
  return found
}
