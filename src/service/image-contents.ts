/**
 * Keeps the files of datasets' images in step with the rows that name them.
 *
 * A file is adopted and removed only within a transaction that writes or reads its rows. The catalogue
 * has one connection, so one content is never removed by one dataset while another begins to hold it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Blobs } from '../blob/blobs.ts'
import { findGoneDatasets, removeImages } from '../catalog/dataset-removal.ts'
import type { Catalog } from '../catalog/open.ts'

export interface ImageStore {
  readonly db: Catalog
  /** Contents of the datasets' images. */
  readonly images: Blobs
}

/** Removes every image row of a dataset, and the files that no other row names. */
export async function purgeImages({ db, images }: ImageStore, dataset: string): Promise<void> {
  for (let more = true; more; await nextTurn()) {
    more = await db.transaction().execute(async (trx) => {
      const free = await removeImages(trx, dataset)
      for (const sha256 of free ?? []) await images.delete(sha256)
      return free !== null
    })
  }
}

/** Finishes what a deletion left undone: images of datasets that are gone. */
export async function purgeGone(store: ImageStore): Promise<void> {
  for (const dataset of await findGoneDatasets(store.db)) await purgeImages(store, dataset)
}
