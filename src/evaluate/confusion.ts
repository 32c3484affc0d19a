/**
 * The confusion matrix and what follows from it per class.
 */

/** Row = true class, column = predicted class. */
export type Confusion = readonly (readonly number[])[]

export interface ClassReport {
  readonly label: string
  /** Share of the images given this label that carry it; null when none was given it. */
  readonly precision: number | null
  /** Share of the images of this class that were found; null when there is none. */
  readonly recall: number | null
  /** Images of this class. */
  readonly images: number
}

/** A matrix of zeros to count into. */
export function emptyConfusion(classes: number): number[][] {
  return Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
}

/**
 * Precision, recall and number of images of each class.
 *
 * @throws RangeError when there are not as many labels as rows.
 */
export function classReports(confusion: Confusion, labels: readonly string[]): ClassReport[] {
  if (labels.length !== confusion.length) {
    throw new RangeError(
      `Cannot name the classes: received ${labels.length} labels for ${confusion.length} classes`
    )
  }
  return labels.map((label, k) => {
    const hits = confusion[k]?.[k] ?? 0
    const images = sum(confusion[k] ?? [])
    const predicted = sum(confusion.map((row) => row[k] ?? 0))
    return {
      label,
      precision: predicted === 0 ? null : hits / predicted,
      recall: images === 0 ? null : hits / images,
      images
    }
  })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
