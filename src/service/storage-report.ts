/** Says what the data folder is used for: what lies there, by what the catalogue refers to. */
import type { Catalog } from '../catalog/open.ts'
import { referencedBytes } from '../catalog/storage-usage.ts'
import type { LastSweep, StorageUse } from '../contract/storage.ts'
import { blockBytes } from './measure-folder.ts'
import type { Storage } from './storage.ts'

export interface StorageReportOptions {
  readonly db: Catalog
  readonly storage: Storage
  readonly sweeper: { readonly last: LastSweep | null }
}

/** The figures of `GET /v1/storage`. Walks the data folder when the last walk is too old. */
export async function reportStorage(options: StorageReportOptions): Promise<StorageUse> {
  const { db, storage, sweeper } = options
  const room = await storage.room()
  const { at, use } = await storage.current()
  const { files, images: imageFiles, blobs: blobFiles, ...rest } = use
  const referenced = await referencedBytes(db, blockBytes)
  // Rows and files are looked at one after the other; what came or went between is set right here.
  const images = Math.min(referenced.images, imageFiles)
  const models = Math.min(referenced.models, blobFiles)
  const checkpoints = Math.min(referenced.checkpoints, blobFiles - models)
  const unreferenced = imageFiles - images + blobFiles - models - checkpoints
  return {
    ...room,
    parts: { images, models, checkpoints, unreferenced, ...rest },
    blobs: files,
    measuredAt: at.toISOString(),
    lastSweep: sweeper.last
  }
}
