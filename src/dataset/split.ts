/**
 * Which split an image belongs to. Assigned once, stored, never changed: an image that moved from train
 * to test would make an old model's test accuracy a lie.
 *
 * New images, in hash order within their class, go to the split furthest below its target; a split that
 * is still empty comes first, so from three images on every class has one in each. Splits that were
 * given are kept; those that were not given at all are carved from train.
 */
import { type Split, splits } from './pack-file.ts'

/** Share of a class that each split aims at. */
const targets: Readonly<Record<Split, number>> = { train: 0.8, validation: 0.1, test: 0.1 }

export type SplitCounts = Readonly<Record<Split, number>>

export interface Unsplit {
  readonly sha256: string
  /** The split that came with the image, or null. */
  readonly split: Split | null
}

const none: SplitCounts = { train: 0, validation: 0, test: 0 }

/** What a class holds, and where its next image goes. */
export class ClassSplits {
  readonly #counts: Record<Split, number>
  readonly #carved: readonly Split[]

  /** @param carved splits that images given as train may be moved to: those that nobody gave. */
  constructor(held: SplitCounts = none, carved: readonly Split[] = []) {
    this.#counts = { ...held }
    this.#carved = carved
  }

  /** Whether the split that came with an image stands. Those that stand are all counted first. */
  stands(split: Split | null): split is Split {
    return split !== null && !(split === 'train' && this.#carved.length > 0)
  }

  /** The split of the next image. Images come in hash order, those given as train before others. */
  place(given: Split | null): Split {
    const split = this.stands(given)
      ? given
      : neediest(this.#counts, given === 'train' ? ['train', ...this.#carved] : splits)
    this.#counts[split]++
    return split
  }
}

/**
 * Assigns the new images of ONE class. The answer depends on the set of images, not on their order.
 *
 * @param images without duplicates.
 * @param existing what the class holds already.
 * @returns the split of every image, by SHA-256.
 */
export function assignSplits(
  images: readonly Unsplit[],
  { existing = none, carved = [] }: { existing?: SplitCounts; carved?: readonly Split[] } = {}
): Map<string, Split> {
  const held = new ClassSplits(existing, carved)
  const turn = ({ split }: Unsplit) => (held.stands(split) ? 0 : split === 'train' ? 1 : 2)
  const ordered = images.toSorted((a, b) => turn(a) - turn(b) || (a.sha256 < b.sha256 ? -1 : 1))
  return new Map(ordered.map(({ sha256, split }) => [sha256, held.place(split)]))
}

/**
 * Splits that no image was given, when some were given train: they will be carved from it. None when
 * no split was given (then all are assigned) or train was not.
 */
export function carvedSplits(given: ReadonlySet<Split>): Split[] {
  return given.has('train') ? splits.filter((split) => !given.has(split)) : []
}

/** Of `among`, the empty ones first, else the one whose count is furthest below its target. */
function neediest(counts: SplitCounts, among: readonly Split[]): Split {
  const [first = 'train'] = among
  const total = among.reduce((sum, split) => sum + counts[split], 0) + 1
  const shares = among.reduce((sum, split) => sum + targets[split], 0)
  // Rounded, so that equal deficits tie whatever their arithmetic was; the first of `among` wins.
  const deficit = (split: Split) =>
    counts[split] === 0
      ? Number.POSITIVE_INFINITY
      : Math.round(((targets[split] / shares) * total - counts[split]) * 1e9)
  return among.reduce((best, split) => (deficit(split) > deficit(best) ? split : best), first)
}
