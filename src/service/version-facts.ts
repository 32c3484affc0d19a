/** Computes what is known of a dataset version when it is frozen: hash, counts, sizes, health. */

import type { CatalogTransaction } from '../catalog/database.ts'
import {
  type FactImage,
  imagesOfVersion,
  sideRange,
  type VersionFacts
} from '../catalog/dataset-facts.ts'
import type { Catalog } from '../catalog/open.ts'
import { healthFindings, oddRatio, tinySide } from '../dataset/health.ts'
import { VersionHash } from '../dataset/version-hash.ts'

const maxExamples = 20

/** Reads all rows of the version once; memory grows with the number of classes only. */
export async function versionFactsOf(
  db: Catalog | CatalogTransaction,
  dataset: string,
  version: number
): Promise<VersionFacts> {
  const hash = new VersionHash()
  const counts = new Map<string, { train: number; validation: number; test: number }>()
  const [tiny, odd] = [sample(isTiny), sample(isOdd)]
  let images = 0
  let bytes = 0
  let grey = true
  for await (const page of imagesOfVersion(db, dataset, version)) {
    for (const image of page) {
      hash.add(image)
      images++
      bytes += image.bytes
      grey &&= image.grey === 1
      const counted = counts.get(image.label) ?? { train: 0, validation: 0, test: 0 }
      counted[image.split]++
      counts.set(image.label, counted)
      tiny.look(image)
      odd.look(image)
    }
  }
  const classes = [...counts]
    .map(([label, split]) => ({ label, ...split }))
    .sort((a, b) => (a.label < b.label ? -1 : 1))
  return {
    hash: hash.digest(),
    images,
    bytes,
    width: await sideRange(db, { dataset, version, side: 'width' }),
    height: await sideRange(db, { dataset, version, side: 'height' }),
    grey,
    classes,
    health: healthFindings({ classes, tiny: tiny.found, odd: odd.found })
  }
}

type Size = Pick<FactImage, 'width' | 'height'>

const isTiny = ({ width, height }: Size): boolean => Math.min(width, height) < tinySide
const isOdd = ({ width, height }: Size): boolean =>
  Math.max(width, height) > oddRatio * Math.min(width, height)

function sample(matches: (image: Size) => boolean) {
  const found = { count: 0, examples: [] as string[] }
  return {
    found,
    look(image: FactImage): void {
      if (!matches(image)) return
      found.count++
      if (found.examples.length < maxExamples) found.examples.push(image.id)
    }
  }
}
