/**
 * Chooses a width for every group so that the network meets a MACs target at the least damage.
 *
 * One global ranking of blocks: the next block of `roundTo` channels of every group, its least important
 * ones, is ranked by damage per MAC saved (of those still to save); the cheapest is taken and all are
 * ranked anew, with the MACs counted exactly. A threshold on single channels would be rounded away at
 * multiples of 16.
 *
 *   damage of going from kept importance S to S' in a group of total T = T * ln(S / S')
 *
 * To first order that is the importance removed (T (S - S') / T); the logarithm makes the last channels of
 * a group dear, so no group is emptied before its neighbours are touched.
 */
export interface GroupChoice {
  /** Scores of the group's channels in any order; null: the width must stay. */
  readonly scores: Float64Array | null
  readonly width: number
}

export interface ChooseOptions {
  /** MACs to come down to. */
  readonly target: number
  /** Kept widths are multiples of it, except widths that are left as they are. */
  readonly roundTo: number
  /** MACs of the whole network at these widths. */
  macsAt(widths: readonly number[]): number
}

export interface Choice {
  readonly widths: readonly number[]
  readonly macs: number
}

/** No group falls below this share of its width, nor below `roundTo`. */
const FLOOR = 0.1

/** The smallest width that a group of `width` channels may be cut to. */
export const floorOf = (width: number, roundTo: number): number =>
  Math.min(width, Math.max(1, Math.ceil((width * FLOOR) / roundTo)) * roundTo)

/**
 * The chosen width of every group. Where the floors do not allow the target, every group ends at its
 * floor and `macs` stays above `target`: the caller says so.
 */
export const chooseWidths = (groups: readonly GroupChoice[], options: ChooseOptions): Choice => {
  const { target, roundTo, macsAt } = options
  const kept = groups.map(({ scores }) => scores && keptImportance(scores))
  const damage = (group: number, from: number, to: number): number => {
    const sums = kept[group]
    if (!sums) return Number.POSITIVE_INFINITY
    const [before, after] = [sums[from] as number, sums[to] as number]
    return before === 0 ? 0 : (sums.at(-1) as number) * Math.log(before / after)
  }
  const widths = groups.map(({ width }) => width)
  const taken: { group: number; from: number; damage: number }[] = []
  let macs = macsAt(widths)

  while (macs > target) {
    const step = cheapestStep(groups, widths, { macs, target, roundTo, macsAt, damage })
    if (!step) break
    taken.push({ group: step.group, from: widths[step.group] as number, damage: step.damage })
    widths[step.group] = step.to
    macs = step.macs
  }
  if (macs > target) return { widths, macs }
  return giveBack(widths, macs, taken, options)
}

interface Step {
  readonly group: number
  readonly to: number
  readonly macs: number
  readonly damage: number
}

const cheapestStep = (
  groups: readonly GroupChoice[],
  widths: readonly number[],
  state: {
    readonly macs: number
    readonly target: number
    readonly roundTo: number
    macsAt(widths: readonly number[]): number
    damage(group: number, from: number, to: number): number
  }
): Step | undefined => {
  let best: Step | undefined
  let bestRate = Number.POSITIVE_INFINITY
  for (const [group, { width }] of groups.entries()) {
    const from = widths[group] as number
    const to = Math.ceil(from / state.roundTo - 1) * state.roundTo
    if (to < floorOf(width, state.roundTo)) continue
    const macs = state.macsAt(widths.with(group, to))
    const damage = state.damage(group, from, to)
    // Coming down further than the target is worth nothing.
    const rate = damage / Math.min(state.macs - macs, state.macs - state.target)
    if (macs < state.macs && rate < bestRate) {
      best = { group, to, macs, damage }
      bestRate = rate
    }
  }
  return best
}

/** Undoes the most damaging steps that the last one made unnecessary. */
const giveBack = (
  widths: readonly number[],
  macs: number,
  taken: readonly { readonly group: number; readonly from: number; readonly damage: number }[],
  { target, macsAt }: ChooseOptions
): Choice => {
  let best: Choice = { widths, macs }
  for (const { group, from } of taken.toSorted((a, b) => b.damage - a.damage)) {
    const current = best.widths[group] as number
    // Steps of one group are undone from the last one up: a wider one comes round with its damage.
    if (from <= current || isBetween(taken, group, current, from)) continue
    const undone = best.widths.with(group, from)
    const macsUndone = macsAt(undone)
    if (macsUndone <= target) best = { widths: undone, macs: macsUndone }
  }
  return best
}

const isBetween = (
  taken: readonly { readonly group: number; readonly from: number }[],
  group: number,
  current: number,
  from: number
): boolean => taken.some((step) => step.group === group && step.from > current && step.from < from)

/** Index k → importance kept with the k best channels. */
const keptImportance = (scores: Float64Array): Float64Array => {
  const sums = new Float64Array(scores.length + 1)
  for (const [i, score] of scores.toSorted((a, b) => b - a).entries()) {
    sums[i + 1] = (sums[i] as number) + score
  }
  return sums
}
