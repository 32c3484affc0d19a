/** Removes blobs that nothing refers to: what was stored for a row that a crash never let be written. */
import type { Blobs } from '../blob/blobs.ts'
import type { CatalogTransaction } from '../catalog/database.ts'
import type { Catalog } from '../catalog/open.ts'

/** Those of `contents` that no row names. */
export type Unreferenced = (
  trx: CatalogTransaction,
  contents: readonly string[]
) => Promise<string[]>

/** A younger blob may still be waiting for its row. */
const graceMs = 3_600_000
const blobsAtOnce = 200

export async function sweepBlobs(
  db: Catalog,
  blobs: Blobs,
  unreferenced: Unreferenced,
  now = Date.now()
): Promise<number> {
  let removed = 0
  let old: string[] = []
  const sweep = () =>
    db.transaction().execute(async (trx) => {
      const free = await unreferenced(trx, old)
      for (const sha256 of free) await blobs.delete(sha256)
      removed += free.length
      old = []
    })
  for await (const { sha256, modified } of blobs.list()) {
    if (now - modified.getTime() >= graceMs) old.push(sha256)
    if (old.length === blobsAtOnce) await sweep()
  }
  await sweep()
  return removed
}
