/** Files that were uploaded one by one, as entries like those of an archive. */
import { createReadStream } from 'node:fs'
import type { UploadedFile } from '../../contract/importer.ts'
import type { ArchiveEntry } from './entry.ts'

/** The sender's file names only serve in reports; position makes them unique and never hidden. */
export async function* uploadedEntries(
  files: readonly UploadedFile[]
): AsyncGenerator<ArchiveEntry> {
  for (const { path, name } of files) {
    yield { name, kind: 'file', read: () => createReadStream(path) }
  }
}
