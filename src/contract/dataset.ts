/** Datasets as callers write and read them: the document, its import report, its health, its images. */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'

const splitNames = ['train', 'validation', 'test'] as const
export const SplitName = Type.Enum(splitNames)
export type SplitName = Static<typeof SplitName>

const count = Type.Integer({ minimum: 0 })
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()])

export const ImportFault = Type.Object(
  {
    file: Type.String({ description: 'As named in the archive, shortened when very long' }),
    code: Type.String(),
    detail: Type.String()
  },
  { $id: 'ImportFault' }
)
export type ImportFault = Static<typeof ImportFault>

/** At most this many faults are listed; `faultsTotal` counts all. */
export const maxFaultsListed = 1000

export const ImportReport = Type.Object(
  {
    read: Type.Integer({ minimum: 0, description: 'Files; folders and hidden files not counted' }),
    kept: count,
    duplicates: Type.Integer({ minimum: 0, description: 'Exact copies of a kept image' }),
    skipped: Type.Integer({ minimum: 0, description: 'Files with a fault' }),
    faults: Type.Array(ImportFault, { maxItems: maxFaultsListed }),
    faultsTotal: count
  },
  { $id: 'ImportReport' }
)
export type ImportReport = Static<typeof ImportReport>

export const HealthFinding = Type.Object(
  {
    code: Type.String(),
    severity: Type.Union([Type.Literal('info'), Type.Literal('warning'), Type.Literal('error')]),
    detail: Type.String(),
    images: Type.Array(Type.String(), { description: 'Examples, at most 20' })
  },
  { $id: 'HealthFinding' }
)
export type HealthFinding = Static<typeof HealthFinding>

/** In pixels; null without images. */
export const SideRange = Type.Object(
  { min: count, median: count, max: count },
  { $id: 'SideRange', description: 'Pixels over all images' }
)
export type SideRange = Static<typeof SideRange>

export const ClassCounts = Type.Object(
  { label: Type.String(), train: count, validation: count, test: count },
  { $id: 'ClassCounts' }
)
export type ClassCounts = Static<typeof ClassCounts>

const DatasetStatus = Type.Union([
  Type.Literal('importing'),
  Type.Literal('ready'),
  Type.Literal('failed')
])

export const Dataset = Type.Object(
  {
    id: Type.String(),
    name: Name,
    status: DatasetStatus,
    version: nullable(Type.Integer({ minimum: 1 })),
    createdAt: Type.String(),
    images: count,
    bytes: count,
    width: nullable(SideRange),
    height: nullable(SideRange),
    classes: Type.Array(ClassCounts),
    import: nullable(ImportReport),
    health: Type.Array(HealthFinding),
    error: nullable(Type.Object({}, { additionalProperties: true, description: 'A problem' }))
  },
  { $id: 'Dataset' }
)
export type Dataset = Static<typeof Dataset>

export const DatasetVersion = Type.Object(
  {
    version: Type.Integer({ minimum: 1 }),
    createdAt: Type.String(),
    hash: Type.String({ description: 'SHA-256 over images, labels and splits' }),
    images: count,
    bytes: count,
    classes: Type.Array(ClassCounts)
  },
  { $id: 'DatasetVersion' }
)
export type DatasetVersion = Static<typeof DatasetVersion>

export const DatasetImage = Type.Object(
  {
    id: Type.String(),
    label: Type.String(),
    split: SplitName,
    width: count,
    height: count,
    bytes: count,
    sha256: Type.String()
  },
  { $id: 'DatasetImage' }
)
export type DatasetImage = Static<typeof DatasetImage>

export const AddedImages = Type.Object(
  {
    added: count,
    duplicates: Type.Integer({ minimum: 0, description: 'Files that the dataset held already' }),
    faults: Type.Array(ImportFault),
    version: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
      description: 'Newest version, new when images were added; null while there is none'
    }),
    images: Type.Array(DatasetImage, { description: 'Those that were added' })
  },
  { $id: 'AddedImages' }
)
export type AddedImages = Static<typeof AddedImages>

export const ImageChange = Type.Object(
  { label: Type.String({ minLength: 1, maxLength: 100 }) },
  { $id: 'ImageChange', additionalProperties: false }
)
export type ImageChange = Static<typeof ImageChange>
