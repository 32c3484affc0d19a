/** What is known of a dataset version when a job on it is planned: counts and sizes, no pixels. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

export interface ClassFacts {
  readonly label: string
  readonly train: number
  readonly validation: number
  readonly test: number
}

export interface DatasetFacts {
  readonly classes: readonly ClassFacts[]
  /** Of the images as uploaded, in pixels. */
  readonly width: Spread
  readonly height: Spread
  /** Number of images, and the bytes of all of them as uploaded. */
  readonly images: number
  readonly bytes: number
  /** Whether every image has one channel, or three that are equal. */
  readonly grey: boolean
}

/** Number of images in a split. */
export const imagesIn = (
  { classes }: DatasetFacts,
  split: 'train' | 'validation' | 'test'
): number => classes.reduce((sum, counts) => sum + counts[split], 0)
