/** How often a model was right, by what callers fed back: those images, which need not be typical ones. */
import type { AnswerCount } from '../catalog/feedback.ts'
import type { LiveAccuracy } from '../contract/feedback.ts'
import type { Estimate } from '../contract/report.ts'
import { wilson } from '../evaluate/wilson.ts'

/** @param counts of each version and variant next to each other */
export function liveAccuracy(model: string, counts: readonly AnswerCount[]): LiveAccuracy {
  const groups = Map.groupBy(counts, ({ version, variant }) => `${version}@${variant}`)
  return { model, variants: [...groups.values()].flatMap(describe) }
}

function describe(counts: readonly AnswerCount[]): LiveAccuracy['variants'] {
  const [first] = counts
  if (first === undefined) return []
  const labels = [...new Set(counts.flatMap(({ label, predicted }) => [label, predicted]))].sort()
  const perClass = labels.map((label) => {
    const shown = counts.filter((count) => count.label === label)
    const images = sum(shown)
    const taken = counts.filter(({ predicted }) => predicted === label)
    return {
      label,
      images,
      predicted: sum(taken),
      recall: images === 0 ? null : estimate(right(shown), images)
    }
  })
  return [
    {
      version: first.version,
      variant: first.variant,
      accuracy: estimate(right(counts), sum(counts)),
      perClass,
      confusion: counts.map(({ label, predicted, images }) => ({ label, predicted, images }))
    }
  ]
}

const sum = (counts: readonly AnswerCount[]): number =>
  counts.reduce((total, { images }) => total + images, 0)

const right = (counts: readonly AnswerCount[]): number =>
  sum(counts.filter(({ label, predicted }) => label === predicted))

const estimate = (successes: number, images: number): Estimate => ({
  value: successes / images,
  ci95: wilson(successes, images),
  images
})
