/** Datasets, their versions and images in the shapes of the contract. */

import type { VersionFacts } from '../catalog/dataset-facts.ts'
import type { StoredImage } from '../catalog/dataset-images.ts'
import { type DatasetRow, errorOf, type VersionRow } from '../catalog/datasets.ts'
import type {
  Dataset,
  DatasetImage,
  DatasetVersion,
  HealthFinding,
  ImportReport
} from '../contract/dataset.ts'
import { ServiceError } from '../errors.ts'
import { problemOf } from './plugins/problem.ts'

/**
 * `facts` are those of the newest version, undefined without one; `waitsFor` is what keeps an accepted
 * import from running, undefined when nothing does.
 */
export function datasetDocument(
  row: DatasetRow,
  facts: VersionFacts | undefined,
  waitsFor?: string
): Dataset {
  const error = errorOf(row)
  return {
    id: row.id,
    name: row.name,
    status: row.status,
    version: row.version,
    createdAt: row.created_at,
    images: facts?.images ?? 0,
    bytes: facts?.bytes ?? 0,
    width: facts?.width ?? null,
    height: facts?.height ?? null,
    classes: [...(facts?.classes ?? [])],
    import: row.report === null ? null : (JSON.parse(row.report) as ImportReport),
    health: [...(facts?.health ?? []), ...waiting(waitsFor)],
    error: error && problemOf(new ServiceError(error.code, { detail: error.detail }))
  }
}

function waiting(reason: string | undefined): HealthFinding[] {
  if (reason === undefined) return []
  const detail = `The import waits until there is room on the disk: ${reason}`
  return [{ code: 'IMPORT_WAITS_FOR_ROOM', severity: 'warning', detail, images: [] }]
}

export function versionDocument({ version, createdAt, facts }: VersionRow): DatasetVersion {
  const { hash, images, bytes, classes } = facts
  return { version, createdAt, hash, images, bytes, classes: [...classes] }
}

type ImageFields = Pick<
  StoredImage,
  'id' | 'label' | 'split' | 'width' | 'height' | 'bytes' | 'sha256'
>

export function imageDocument(image: ImageFields): DatasetImage {
  const { id, label, split, width, height, bytes, sha256 } = image
  return { id, label, split, width, height, bytes, sha256 }
}
