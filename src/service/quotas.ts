/**
 * Holds callers to what their keys allow: bytes stored, jobs queued, training per day.
 *
 * What is checked within the transaction that uses it up cannot be passed by two at once. A quota is
 * the owner's: images that somebody else adds to a dataset count for whoever made it. An archive counts
 * as it is until it has been imported, and then its images do. What nobody owns, because it was made without keys, is not limited.
 */
import type { CatalogTransaction } from '../catalog/database.ts'
import {
  bytesStored,
  datasetBytes,
  jobsQueued,
  setDatasetBytes,
  trainingMs
} from '../catalog/key-usage.ts'
import type { Catalog } from '../catalog/open.ts'
import type { Key, KeyLimits } from '../contract/key.ts'
import { ServiceError } from '../errors.ts'

type Reader = Catalog | CatalogTransaction

export interface Quotas {
  /**
   * To be asked before an upload is read, which would be in vain.
   *
   * @param announced bytes of the form, if it is known that they will count. @default 0
   * @throws ServiceError QUOTA_EXCEEDED when nothing is left, or less than was announced
   */
  assertRoom(owner: string | null, announced?: number): Promise<void>
  /**
   * Counts the images of a dataset as `bytes` more, or as `bytes` altogether, before they are stored;
   * or the archive that they are in.
   *
   * @throws ServiceError QUOTA_EXCEEDED when the owner may not store that much
   */
  reserve(trx: CatalogTransaction, dataset: Owned, bytes: Bytes): Promise<void>
  /**
   * To be called in the transaction that has stored `received` bytes of model files.
   *
   * @throws ServiceError QUOTA_EXCEEDED when the owner has more now than allowed
   */
  assertStored(trx: CatalogTransaction, owner: string | null, received: number): Promise<void>
  /** @throws ServiceError QUOTA_EXCEEDED when the owner may not queue another job, or train today */
  assertMayQueue(trx: CatalogTransaction, owner: string | null, now?: Date): Promise<void>
  /** What an owner has used. */
  usage(db: Reader, owner: string, now?: Date): Promise<Key['usage']>
}

interface Owned {
  readonly id: string
  readonly owner: string | null
}

type Bytes =
  | { readonly more: number }
  | { readonly altogether: number }
  | { readonly archive: number }

export interface QuotasOptions {
  readonly db: Catalog
  readonly limitsOf: (owner: string) => KeyLimits
}

export function createQuotas({ db, limitsOf }: QuotasOptions): Quotas {
  const limitOf = (owner: string | null, quota: keyof KeyLimits): number =>
    (owner === null ? null : limitsOf(owner)[quota]) ?? Number.POSITIVE_INFINITY
  return {
    async assertRoom(owner, announced = 0) {
      const limit = limitOf(owner, 'bytesStored')
      if (owner === null || limit === Number.POSITIVE_INFINITY) return
      const used = await bytesStored(db, owner)
      if (used < limit && announced - formBytes <= limit - used) return
      const received = announced > 0 ? announced : undefined
      throw exceeded({ doing: 'take the upload', used, limit, received, ...bytes })
    },
    async reserve(trx, { id, owner }, wanted) {
      const before = await datasetBytes(trx, id)
      const received = Object.values(wanted)[0] as number
      const after = 'more' in wanted ? before + received : received
      await setDatasetBytes(trx, id, after)
      const limit = limitOf(owner, 'bytesStored')
      if (owner === null || limit === Number.POSITIVE_INFINITY || after <= before) return
      const used = await bytesStored(trx, owner)
      if (used <= limit) return
      const doing = 'archive' in wanted ? 'take the archive' : 'store the images'
      throw exceeded({ doing, used: used - received, limit, received, ...bytes })
    },
    async assertStored(trx, owner, received) {
      const limit = limitOf(owner, 'bytesStored')
      if (owner === null || limit === Number.POSITIVE_INFINITY) return
      const used = await bytesStored(trx, owner)
      if (used <= limit) return
      const doing = "store the model's files"
      throw exceeded({ doing, used: used - received, limit, received, ...bytes })
    },
    async assertMayQueue(trx, owner, now = new Date()) {
      if (owner === null) return
      const doing = 'queue the job'
      const mostJobs = limitOf(owner, 'jobsQueued')
      const jobs = await jobsQueued(trx, owner)
      if (jobs >= mostJobs) {
        throw exceeded({ doing, quota: 'jobsQueued', unit: 'jobs', used: jobs, limit: mostJobs })
      }
      const limit = limitOf(owner, 'trainingSecondsPerDay')
      const used = await trainingSeconds(trx, owner, now)
      if (used < limit) return
      const rest = { quota: 'trainingSecondsPerDay', unit: 'seconds' } as const
      throw exceeded({ doing, used, limit, ...rest, retryAfter: secondsToMidnight(now) })
    },
    async usage(reader, owner, now = new Date()) {
      return {
        day: utcDay(now),
        trainingSeconds: await trainingSeconds(reader, owner, now),
        bytesStored: await bytesStored(reader, owner),
        jobsQueued: await jobsQueued(reader, owner)
      }
    }
  }
}

const trainingSeconds = async (db: Reader, owner: string, now: Date): Promise<number> =>
  (await trainingMs(db, owner, utcDay(now))) / 1000

const utcDay = (now: Date): string => now.toISOString().slice(0, 10)

const secondsPerDay = 86_400

const secondsToMidnight = (now: Date): number =>
  secondsPerDay - Math.floor((now.getTime() / 1000) % secondsPerDay)

/** What a form may have besides its file. The file alone is held against the quota once it is known. */
const formBytes = 4096

const bytes = { quota: 'bytesStored', unit: 'bytes' } as const

interface Excess {
  readonly doing: string
  readonly quota: keyof KeyLimits
  readonly unit: string
  readonly used: number
  readonly limit: number
  readonly received?: number | undefined
  readonly retryAfter?: number
}

function exceeded({ doing, quota, unit, used, limit, received, ...rest }: Excess): ServiceError {
  const last = received === undefined ? '' : `, received ${received}`
  return new ServiceError('QUOTA_EXCEEDED', {
    detail: `Cannot ${doing}: the quota ${quota} allows ${limit} ${unit}, ${used} are used${last}`,
    ...rest
  })
}
