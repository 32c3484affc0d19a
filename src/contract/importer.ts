/**
 * Messages between the api and an importer (one child process per import), over IPC, and the file in
 * which the importer leaves what it found. The importer has read hostile bytes, so the api checks both.
 */
import { type Static, Type } from 'typebox'
import { ImportReport, SplitName } from './dataset.ts'

/** One file that was uploaded alone, as it lies on disk, and the name that its sender gave it. */
export interface UploadedFile {
  readonly path: string
  readonly name: string
}

/** What an importer is to read. It writes into `staging` only. */
export type ImportOrder = {
  /** An empty folder. Gets `images.jsonl` (ImportedImage per line) and `files/<sha256>`. */
  readonly staging: string
} & (
  | { readonly kind: 'archive'; readonly archive: string; readonly strict: boolean }
  | {
      readonly kind: 'files'
      readonly files: readonly UploadedFile[]
      readonly label: string
      readonly split: SplitName | null
    }
)

export const ImporterAnswer = Type.Union([
  Type.Object({ type: Type.Literal('done'), report: ImportReport }),
  /** A failure that a second run would repeat. `code` is one of `errors.ts`. */
  Type.Object({
    type: Type.Literal('failed'),
    code: Type.String(),
    detail: Type.String(),
    report: Type.Union([ImportReport, Type.Null()])
  })
])
export type ImporterAnswer = Static<typeof ImporterAnswer>

export const ImportedImage = Type.Object(
  {
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    label: Type.String({ minLength: 1, maxLength: 400 }),
    /** Null: the api assigns it (images added to a dataset). */
    split: Type.Union([SplitName, Type.Null()]),
    width: Type.Integer({ minimum: 1 }),
    height: Type.Integer({ minimum: 1 }),
    bytes: Type.Integer({ minimum: 1 }),
    format: Type.Union([
      Type.Literal('jpeg'),
      Type.Literal('png'),
      Type.Literal('webp'),
      Type.Literal('gif')
    ]),
    grey: Type.Boolean()
  },
  { additionalProperties: false }
)
export type ImportedImage = Static<typeof ImportedImage>
