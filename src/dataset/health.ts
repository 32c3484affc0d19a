/**
 * What is worth a look before a dataset is trained on. Findings advise; none keeps a job from running.
 *
 * Everything here follows from counts and sizes that the catalogue holds, so that it costs nothing.
 */
import type { ClassCounts, HealthFinding } from '../contract/dataset.ts'

/** Images that a rule found: how many, and some of them. */
export interface Found {
  readonly count: number
  readonly examples: readonly string[]
}

export interface HealthFacts {
  readonly classes: readonly ClassCounts[]
  /** Images with a side below `tinySide` pixels. */
  readonly tiny: Found
  /** Images of which one side is more than `oddRatio` times the other. */
  readonly odd: Found
}

export const tinySide = 16
export const oddRatio = 3
const imbalanceRatio = 5
const fewImages = 20

/** Findings in the order of their weight; empty when nothing stands out. */
export function healthFindings({ classes, tiny, odd }: HealthFacts): HealthFinding[] {
  return [
    ...splitGaps(classes),
    ...imbalance(classes),
    ...scarcity(classes),
    ...images(tiny, 'TINY_IMAGES', `have a side below ${tinySide} pixels`),
    ...images(odd, 'ODD_SHAPES', `have one side more than ${oddRatio} times the other`)
  ]
}

function splitGaps(classes: readonly ClassCounts[]): HealthFinding[] {
  return (['train', 'validation', 'test'] as const).flatMap((split) => {
    const without = classes.filter((counts) => counts[split] === 0).map(({ label }) => label)
    if (without.length === 0) return []
    const detail = `Without an image in ${split}: ${list(without)}`
    return [{ code: 'CLASS_MISSING_IN_SPLIT', severity: 'warning', detail, images: [] } as const]
  })
}

function imbalance(classes: readonly ClassCounts[]): HealthFinding[] {
  const sorted = classes.toSorted((a, b) => a.train - b.train)
  const [least, most] = [sorted[0], sorted.at(-1)]
  if (!least || !most || most.train < imbalanceRatio * Math.max(1, least.train)) return []
  const detail = `${name(most)} has ${most.train} training images, ${name(least)} has ${least.train}`
  return [{ code: 'CLASS_IMBALANCE', severity: 'warning', detail, images: [] }]
}

function scarcity(classes: readonly ClassCounts[]): HealthFinding[] {
  const few = classes.filter(({ train }) => train > 0 && train < fewImages).map(name)
  if (few.length === 0) return []
  const detail = `Fewer than ${fewImages} training images: ${few.slice(0, 10).join(', ')}${few.length > 10 ? ` and ${few.length - 10} more` : ''}`
  return [{ code: 'FEW_IMAGES', severity: 'warning', detail, images: [] }]
}

function images({ count, examples }: Found, code: string, what: string): HealthFinding[] {
  if (count === 0) return []
  return [{ code, severity: 'info', detail: `${count} images ${what}`, images: [...examples] }]
}

const name = ({ label }: ClassCounts): string => JSON.stringify(label)

function list(labels: readonly string[]): string {
  const shown = labels.slice(0, 10).map((label) => JSON.stringify(label))
  return labels.length > 10
    ? `${shown.join(', ')} and ${labels.length - 10} more`
    : shown.join(', ')
}
