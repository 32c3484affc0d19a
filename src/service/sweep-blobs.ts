/** Removes blobs that nothing refers to: what was stored for a row that a crash never let be written. */
import type { Blobs } from '../blob/blobs.ts'
import type { CatalogTransaction } from '../catalog/database.ts'
import type { Catalog } from '../catalog/open.ts'

/** Those of `contents` that no row names. */
export type Unreferenced = (
  trx: CatalogTransaction,
  contents: readonly string[]
) => Promise<string[]>

/** What a sweep has removed. */
export interface Swept {
  readonly removed: number
  readonly bytes: number
}

/**
 * How long a file without a row is left alone. Whoever stores one holds it (`Blobs.keep`) or writes its
 * row in the transaction that moves it in, so nothing depends on this; it forgives a wrong clock, and
 * leaves what a crash stranded long enough to be looked at.
 */
export const graceMs = 3_600_000
const blobsAtOnce = 200

export async function sweepBlobs(
  db: Catalog,
  blobs: Blobs,
  unreferenced: Unreferenced,
  now = Date.now()
): Promise<Swept> {
  const before = new Date(now - graceMs)
  let removed = 0
  let bytes = 0
  let old: string[] = []
  // In a transaction, so that no row can come to refer to a content between the look and the removal.
  const sweep = () =>
    db.transaction().execute(async (trx) => {
      for (const sha256 of await unreferenced(trx, old)) {
        // It may have been stored again since it was listed.
        const had = await blobs.deleteOlder(sha256, before)
        if (had === null) continue
        removed++
        bytes += had
      }
      old = []
    })
  for await (const { sha256, modified } of blobs.list()) {
    if (modified < before) old.push(sha256)
    if (old.length === blobsAtOnce) await sweep()
  }
  if (old.length > 0) await sweep()
  return { removed, bytes }
}
