/**
 * Cells of comparison: neighbouring bins put together until each holds about a tenth of the reference.
 *
 * With cells of equal share an index has the least noise, and a shift within the usual range is seen as well
 * as one that leaves it: what lies below or above everything in the reference has a cell of its own.
 */
import { type DriftAspect, type Sketch, sketchBins } from '../contract/sketch.ts'
import { binStart } from './sketch.ts'

export interface Cell {
  /** For people. */
  readonly name: string
  /** Which bins of the aspect's counts it holds. */
  readonly bins: readonly number[]
}

/** Cells at most, and images of the reference that one needs: with fewer, chance would decide. */
const mostCells = { classes: 32, histogram: 10 } as const
const imagesOfCell = 10

/** @param labels of the classes, in their order */
export function cellsOf(
  aspect: DriftAspect,
  reference: Sketch,
  labels: readonly string[]
): readonly Cell[] {
  const counts = reference[aspect] ?? []
  if (aspect === 'classes') return classCells(counts, labels)
  return quantileCells(counts, mostCells.histogram).map(([from, to]) =>
    histogramCell(aspect, from, to)
  )
}

/**
 * A cell for each class; for neighbours together, where the classes are more than the cells.
 *
 * Not the most frequent ones alone: of many classes those are the ones that chance has favoured.
 */
function classCells(counts: readonly number[], labels: readonly string[]): Cell[] {
  const total = counts.reduce((sum, n) => sum + n, 0)
  const most = Math.max(1, Math.min(mostCells.classes, Math.floor(total / imagesOfCell)))
  const ranges =
    counts.length <= most ? counts.map((_, i): Range => [i, i + 1]) : quantileCells(counts, most)
  return ranges.map(([from, to]) => {
    const [first, last] = [labels[from] ?? String(from), labels[to - 1] ?? String(to - 1)]
    return { name: to - from === 1 ? first : `${first} to ${last}`, bins: binsOf(from, to) }
  })
}

/** Bins from..to-1. */
type Range = readonly [from: number, to: number]

/** Ranges from 0 to the last bin, of about the same share of the counts: at most two more than `cells`. */
function quantileCells(counts: readonly number[], cells: number): Range[] {
  const total = counts.reduce((sum, n) => sum + n, 0)
  const first = counts.findIndex((n) => n > 0)
  const last = counts.findLastIndex((n) => n > 0)
  if (first === -1) return [[0, counts.length]]
  const share = total / cells
  const ends: number[] = first > 0 ? [first] : []
  let held = 0
  let left = total
  for (let bin = first; bin <= last; bin += 1) {
    held += counts[bin] ?? 0
    left -= counts[bin] ?? 0
    // What is left must be enough for a cell of its own.
    if (held < share || (left > 0 && left < share / 2)) continue
    ends.push(bin + 1)
    held = 0
  }
  if (ends.at(-1) !== last + 1) ends.push(last + 1)
  if (last + 1 < counts.length) ends.push(counts.length)
  return ends.map((end, i) => [ends[i - 1] ?? 0, end])
}

function histogramCell(aspect: Exclude<DriftAspect, 'classes'>, from: number, to: number): Cell {
  const text = (bin: number): string => {
    const value = binStart(aspect, bin)
    return aspect === 'confidence' ? value.toPrecision(4) : String(value)
  }
  const name = to < sketchBins ? `${text(from)} to ${text(to)}` : `from ${text(from)}`
  return { name, bins: binsOf(from, to) }
}

const binsOf = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)
