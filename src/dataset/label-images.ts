/** Gives every staged image its label and given split, by manifest or by folders. */
import { ServiceError } from '../errors.ts'
import type { ImportTable, LabelledImage } from './import-table.ts'
import {
  areSplitFolders,
  isCommonFolder,
  type Placed,
  placeByFolder,
  type TopFolder
} from './layout.ts'
import type { ImportLimits } from './limits.ts'
import { type ManifestRow, manifestRows } from './manifest.ts'
import type { FoundManifest } from './read-entries.ts'

/** Files that got no label, or several. */
export type Unplaced = number

/**
 * Labels by the manifest: only images that it names are kept.
 *
 * @throws ServiceError MANIFEST_INVALID
 */
export async function labelByManifest(
  table: ImportTable,
  manifest: FoundManifest,
  limits: ImportLimits
): Promise<Unplaced> {
  const file = [...manifest.folder, `manifest.${manifest.format}`].join('/')
  let unplaced = 0
  // Faults of rows come after those of files.
  let seq = Number.MAX_SAFE_INTEGER - limits.entries * 4
  const fault = ({ row, detail, path = '' }: { row: number; detail: string; path?: string }) => {
    const where = `${file}, row ${row}${path && `: ${path}`}`
    table.addFault({ seq: seq++, file: where, code: 'MANIFEST_INVALID', detail })
  }
  for await (const row of manifestRows(manifest, limits)) {
    if ('error' in row) {
      fault({ row: row.row, detail: row.error.detail })
      continue
    }
    if (!table.holds(row.path) && !table.isFaulty(row.path)) {
      fault({ ...row, detail: 'Cannot label the image: the archive holds no file of this path' })
    }
    for (const image of table.otherwiseLabelled(row.path, row.label)) {
      if (!place(table, image, row)) unplaced++
    }
  }
  for (const image of table.images('label is null')) {
    table.refuse(image, notNamed(image.path))
    unplaced++
  }
  return unplaced
}

/** False when an earlier row gave the same file another label: then it is left out. */
function place(table: ImportTable, image: LabelledImage, row: ManifestRow): boolean {
  if (image.label !== null) {
    const detail = `Cannot label the image: its manifest gives it several labels, received ${JSON.stringify([image.label, row.label])}`
    table.refuse(image, { code: 'IMAGE_LABEL_CONFLICT', detail })
    return false
  }
  table.place(image.seq, row.label, row.split)
  return true
}

/** Labels by folders: see `layout.ts`. @throws ServiceError ARCHIVE_LIMIT */
export function labelByFolders(table: ImportTable, limits: ImportLimits): Unplaced {
  let common = 0
  let level = summarise(table, common, limits)
  while (isCommonFolder(level.tops, level.loose)) level = summarise(table, ++common, limits)
  const bySplit = areSplitFolders(level.tops)
  let unplaced = 0
  for (const image of table.images()) {
    const placed = tryPlace(image.path.split('/').slice(common), bySplit)
    if (placed instanceof ServiceError) {
      table.refuse(image, placed)
      unplaced++
    } else {
      table.place(image.seq, placed.label, placed.split)
    }
  }
  return unplaced
}

function tryPlace(segments: readonly string[], bySplit: boolean): Placed | ServiceError {
  try {
    return placeByFolder(segments, bySplit)
  } catch (error) {
    if (error instanceof ServiceError) return error
    throw error
  }
}

/** The folders at depth `skip` of all images, and the images that lie beside them. */
function summarise(table: ImportTable, skip: number, { labels }: ImportLimits) {
  const tops = new Map<string, { direct: number; deeper: number }>()
  let loose = 0
  for (const { path } of table.images()) {
    const [name = '', ...below] = path.split('/').slice(skip)
    if (below.length === 0) loose++
    else {
      const top = tops.get(name) ?? { direct: 0, deeper: 0 }
      if (below.length === 1) top.direct++
      else top.deeper++
      tops.set(name, top)
      if (tops.size > labels) throw tooManyClasses(labels)
    }
  }
  return { loose, tops: [...tops].map(([name, counts]): TopFolder => ({ name, ...counts })) }
}

export const tooManyClasses = (labels: number) =>
  new ServiceError('ARCHIVE_LIMIT', {
    detail: `Cannot read the archive: at most ${labels} classes are allowed, received more`
  })

const notNamed = (path: string) => ({
  code: 'IMAGE_UNLABELLED',
  detail: `Cannot label the image: the manifest does not name it, received ${JSON.stringify(path)}`
})
