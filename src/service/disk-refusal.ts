/** What is said to whoever asks for room on the disk that there is not. */
import { ServiceError } from '../errors.ts'

/**
 * upload: what a client sends. import: the images of an archive that was accepted. job: checkpoints and
 * artifacts of jobs that were accepted.
 */
export type Purpose = 'upload' | 'import' | 'job'

export interface Refused {
  readonly purpose: Purpose
  readonly bytes: number
  /** What is left for that purpose; negative when even less than nothing is. */
  readonly room: number
  readonly used: number
  /** 0 for no limit of our own. */
  readonly limit: number
  readonly free: number
  /** Kept back for imports that have not ended. */
  readonly held: number
}

const doing: Readonly<Record<Purpose, string>> = {
  upload: 'take the upload',
  import: 'import the images',
  job: "keep the job's file"
}

const retryAfterSeconds = 60

export function diskRefusal({ purpose, bytes, room, ...rest }: Refused): ServiceError {
  const limit = rest.limit === 0 ? 'no limit' : `a limit of ${rest.limit}`
  const held = rest.held === 0 ? '' : `, ${rest.held} held for imports that have not ended`
  const figures = `${rest.used} bytes used of ${limit}, ${rest.free} free on the disk${held}`
  return new ServiceError('DISK_FULL', {
    detail: `Cannot ${doing[purpose]}: room for ${Math.max(0, room)} bytes is left, received ${bytes} (${figures})`,
    retryAfter: retryAfterSeconds
  })
}
