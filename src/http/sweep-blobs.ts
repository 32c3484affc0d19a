/** Removes blobs that nothing refers to: what was stored for a row that a crash never let be written. */
import type { Blobs } from '../blob/blobs.ts'
import { unreferenced } from '../catalog/job-files.ts'
import type { Catalog } from '../catalog/open.ts'

/** A younger blob may still be waiting for its row. */
const graceMs = 3_600_000

export async function sweepBlobs(db: Catalog, blobs: Blobs, now = Date.now()): Promise<number> {
  let removed = 0
  for await (const { sha256, modified } of blobs.list()) {
    if (now - modified.getTime() < graceMs) continue
    if ((await unreferenced(db, [sha256])).length === 0) continue
    await blobs.delete(sha256)
    removed += 1
  }
  return removed
}
