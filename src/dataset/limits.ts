/** What an import may cost. Counted on bytes that were produced, never on what headers declare. */
import { ServiceError } from '../errors.ts'

export interface ImportLimits {
  /** Entries of the archive, folders and skipped files included. */
  readonly entries: number
  /** Bytes that all entries give together. */
  readonly totalBytes: number
  /** Bytes that there is room for on the disk; beyond them the import waits. */
  readonly roomBytes: number
  /** Bytes of one entry. */
  readonly entryBytes: number
  /** Bytes produced for each byte of the archive, once `ratioFrom` bytes were produced. */
  readonly ratio: number
  readonly ratioFrom: number
  /** Characters and folders of an entry's path. */
  readonly pathLength: number
  readonly pathDepth: number
  readonly labels: number
  /** Running time of the importer. */
  readonly seconds: number
  /** JavaScript heap and resident memory of the importer, in MiB. */
  readonly heapMiB: number
  readonly memoryMiB: number
}

const MiB = 2 ** 20

export const importLimits: ImportLimits = {
  entries: 2_000_000,
  totalBytes: 200 * 1024 * MiB,
  roomBytes: Number.MAX_SAFE_INTEGER,
  entryBytes: 64 * MiB,
  ratio: 200,
  ratioFrom: 64 * MiB,
  pathLength: 1024,
  pathDepth: 16,
  labels: 10_000,
  seconds: 4 * 3600,
  heapMiB: 384,
  memoryMiB: 3072
}

export interface Meter {
  /** Counts one entry. @throws ServiceError ARCHIVE_LIMIT */
  entry(): void
  /** Counts bytes produced. @throws ServiceError ARCHIVE_LIMIT, DISK_FULL */
  bytes(produced: number): void
}

/** Counts what an archive of `archiveBytes` bytes unfolds to; throws at the first excess. */
export function meter(limits: ImportLimits, archiveBytes: number): Meter {
  let entries = 0
  let bytes = 0
  return {
    entry() {
      if (++entries > limits.entries) throw excess(`at most ${limits.entries} entries are allowed`)
    },
    bytes(produced) {
      bytes += produced
      if (bytes > limits.totalBytes) {
        throw excess(`its entries may hold at most ${limits.totalBytes} bytes together`)
      }
      if (bytes > limits.roomBytes) throw noRoom(limits.roomBytes)
      if (bytes > limits.ratioFrom && bytes > limits.ratio * archiveBytes) {
        throw excess(
          `it may unfold to at most ${limits.ratio} times its size`,
          `${bytes} bytes out of ${archiveBytes}`
        )
      }
    }
  }
}

const excess = (rule: string, received = 'more') =>
  new ServiceError('ARCHIVE_LIMIT', {
    detail: `Cannot read the archive: ${rule}, received ${received}`
  })

const noRoom = (roomBytes: number) =>
  new ServiceError('DISK_FULL', {
    detail: `Cannot unpack the archive: room for ${roomBytes} bytes is left, received more`
  })
