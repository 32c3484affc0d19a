/**
 * Labels and splits from folders: `class/image`, `split/class/image`, either below common folders.
 *
 * The layout is judged over all images of an archive before any of them is labelled, from a summary
 * that does not grow with their number.
 */
import { ServiceError } from '../errors.ts'
import { normaliseLabel } from './label.ts'
import type { Split } from './pack-file.ts'

const splitFolders: Readonly<Record<string, Split>> = {
  train: 'train',
  training: 'train',
  validation: 'validation',
  valid: 'validation',
  val: 'validation',
  test: 'test',
  testing: 'test'
}

/** The split that a folder or a manifest's cell names, in any case; null when it names none. */
export function splitNamed(name: string): Split | null {
  const key = name.trim().toLowerCase()
  return Object.hasOwn(splitFolders, key) ? (splitFolders[key] ?? null) : null
}

/** How many images lie at `folder/.../image`, by the folder's name, directly in it or deeper. */
export interface TopFolder {
  readonly name: string
  readonly direct: number
  readonly deeper: number
}

/**
 * Whether all images lie below this one folder, which is neither a class nor a split: then it is left
 * out of account and the next level is looked at.
 */
export function isCommonFolder(tops: readonly TopFolder[], loose: number): boolean {
  const [only, ...others] = tops
  return (
    loose === 0 &&
    only !== undefined &&
    others.length === 0 &&
    only.direct === 0 &&
    splitNamed(only.name) === null
  )
}

/**
 * Whether the top folders are splits that hold class folders. Classes may be called `train` and `test`
 * too: then the images lie directly in them.
 */
export function areSplitFolders(tops: readonly TopFolder[]): boolean {
  const named = tops.filter(({ name, deeper }) => splitNamed(name) !== null && deeper > 0)
  return named.length > 0 && (named.length === tops.length || named.length >= 2)
}

export interface Placed {
  readonly label: string
  readonly split: Split | null
}

/**
 * Label and split of one image from its path, `segments`, common folders removed, the file name last.
 *
 * @throws ServiceError IMAGE_UNLABELLED, LABEL_INVALID.
 */
export function placeByFolder(segments: readonly string[], bySplit: boolean): Placed {
  const split = bySplit && segments.length > 1 ? splitNamed(segments[0] ?? '') : null
  if (bySplit && split === null) {
    throw unlabelled('it lies outside the train, validation and test folders', segments)
  }
  const folders = segments.slice(bySplit ? 1 : 0, -1)
  const [label] = folders
  if (label !== undefined) return { label: normaliseLabel(label), split }
  throw unlabelled(
    bySplit
      ? 'it lies in a split folder but in no class folder'
      : 'it lies in no class folder, and the archive holds no manifest.csv or manifest.jsonl',
    segments
  )
}

const unlabelled = (reason: string, segments: readonly string[]) =>
  new ServiceError('IMAGE_UNLABELLED', {
    detail: `Cannot label the image: ${reason}, received ${JSON.stringify(segments.join('/'))}`
  })
