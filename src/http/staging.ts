/** A folder for what a request sends, and room on the disk for it; both end with the request. */
import { rm } from 'node:fs/promises'
import type { FastifyRequest } from 'fastify'
import type { Imports } from '../service/imports.ts'
import type { Storage } from '../service/storage.ts'
import { announcedBytes, type UploadRules } from './uploads.ts'

export interface StagingOptions {
  readonly imports: Pick<Imports, 'staging'>
  readonly storage: Pick<Storage, 'reserve'>
}

export interface Staging {
  readonly folder: string
  /** Where `readUpload` may write, and how much. */
  readonly rules: Pick<UploadRules, 'folder' | 'admit'>
  /**
   * Has room for `bytes` held for a dataset when the request has ended.
   *
   * @throws ServiceError DISK_FULL, which only what came without a length need fear
   */
  readonly holdRoom: (dataset: string, bytes: number) => Promise<void>
}

/**
 * Runs `work`, after having asked for room: for what is sent and for the images beside it, which
 * `holdRoom` keeps where they are imported later. A request whose answer is known needs none: its files are compared, not kept.
 *
 * @throws ServiceError DISK_FULL, before anything has been read
 */
export async function withStaging<T>(
  request: FastifyRequest,
  { imports, storage }: StagingOptions,
  work: (staging: Staging) => Promise<T>
): Promise<T> {
  const isAnswered = request.idempotency?.reservation.kind === 'answered'
  const room = await storage.reserve('upload', isAnswered ? 0 : 2 * announcedBytes(request))
  try {
    const folder = await imports.staging()
    try {
      const admit = (bytes: number) => room.take(bytes)
      const rules = { folder: isAnswered ? null : folder, admit }
      const holdRoom = (dataset: string, bytes: number) => room.leave(dataset, bytes)
      return await work({ folder, rules, holdRoom })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  } finally {
    room.release()
  }
}
