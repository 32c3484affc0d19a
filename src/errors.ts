/**
 * The one catalogue of error codes, and the error class that carries them.
 *
 * A code is stable: clients branch on it. Its status, title and whether a retry can help are stated
 * here and nowhere else; `http/plugins/problem.ts` turns a ServiceError into an RFC 9457 document.
 */

interface ErrorKind {
  readonly status: number
  readonly title: string
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
}

const kind = (status: number, title: string, retryable = false): ErrorKind => ({
  status,
  title,
  retryable
})

export const errorCatalogue = {
  // Requests
  REQUEST_INVALID: kind(422, 'The request does not fit its schema'),
  REQUEST_MALFORMED: kind(400, 'The request cannot be read'),
  REQUEST_TIMEOUT: kind(408, 'The request took too long to arrive', true),
  REQUEST_TOO_LARGE: kind(413, 'The request body is too large'),
  MEDIA_TYPE_UNSUPPORTED: kind(415, 'The media type is not supported'),
  ROUTE_NOT_FOUND: kind(404, 'There is nothing at this address'),
  METHOD_NOT_ALLOWED: kind(405, 'The address exists, but not with this method'),
  UNAUTHENTICATED: kind(401, 'A key is needed'),
  FORBIDDEN: kind(403, 'The key does not allow this'),
  HOST_NOT_ALLOWED: kind(403, 'The Host or Origin header is not allowed'),
  PRECONDITION_FAILED: kind(412, 'The resource has changed meanwhile'),
  RANGE_NOT_SATISFIABLE: kind(416, 'The range lies outside the file'),
  IDEMPOTENCY_KEY_REUSED: kind(422, 'The idempotency key was used with another payload'),
  IDEMPOTENCY_IN_PROGRESS: kind(409, 'The first request with this key is still running', true),
  INTERNAL: kind(500, 'Something went wrong on our side', true),
  RATE_LIMITED: kind(429, 'The key sends too many requests', true),
  QUOTA_EXCEEDED: kind(429, 'The key has used up its quota', true),
  KEY_NOT_FOUND: kind(404, 'There is no such key'),
  KEYS_NOT_CONFIGURED: kind(409, 'The service runs without keys'),
  WORKER_NOT_FOUND: kind(404, 'There is no such worker'),
  SHUTTING_DOWN: kind(503, 'The service is shutting down', true),
  DISK_FULL: kind(507, 'There is no room left on the disk', true),
  // Datasets and images
  DATASET_NOT_FOUND: kind(404, 'There is no such dataset'),
  DATASET_NAME_TAKEN: kind(409, 'A dataset of this name exists'),
  DATASET_NOT_READY: kind(409, 'The dataset is not ready', true),
  DATASET_IN_USE: kind(409, 'A job uses the dataset'),
  DATASET_EMPTY: kind(422, 'The dataset holds no usable image'),
  DATASET_SINGLE_CLASS: kind(422, 'The dataset holds a single class'),
  DATASET_FAULTY: kind(422, 'The dataset has faults and strict was asked for'),
  ARCHIVE_UNREADABLE: kind(422, 'The archive cannot be read'),
  ARCHIVE_LIMIT: kind(422, 'The archive exceeds a limit'),
  MANIFEST_INVALID: kind(422, 'The manifest cannot be used'),
  IMPORT_FAILED: kind(500, 'The import ended unexpectedly', true),
  IMAGE_NOT_FOUND: kind(404, 'There is no such image'),
  IMAGE_FORMAT_UNSUPPORTED: kind(415, 'The image format is not supported'),
  IMAGE_TRUNCATED: kind(422, 'The image ends too early'),
  IMAGE_UNREADABLE: kind(422, 'The image cannot be decoded'),
  IMAGE_TOO_LARGE: kind(422, 'The image has too many pixels'),
  ARCHIVE_ENTRY_INVALID: kind(422, 'The archive entry cannot be used'),
  IMAGE_UNLABELLED: kind(422, 'The image has no label'),
  LABELS_UNKNOWN: kind(422, 'The dataset has classes that the model does not know'),
  LABEL_INVALID: kind(422, 'The label cannot be used'),
  IMAGE_LABEL_CONFLICT: kind(422, 'The same image was given under several labels'),
  // Jobs
  JOB_NOT_FOUND: kind(404, 'There is no such job'),
  JOB_ENDED: kind(409, 'The job has ended'),
  JOB_NOT_ENDED: kind(409, 'The job has not ended'),
  JOB_CRASHED: kind(500, 'The trainer crashed repeatedly'),
  TRAINING_DIVERGED: kind(422, 'The training diverged'),
  MEMORY_ESTIMATE_EXCEEDED: kind(422, 'The job needs more memory than allowed'),
  DISK_ESTIMATE_EXCEEDED: kind(422, 'The job needs more disk than there can ever be'),
  MEMORY_EXCEEDED: kind(422, 'The job took more memory than it was allowed'),
  DISK_EXCEEDED: kind(422, 'The job took more disk than it was allowed'),
  WEBHOOK_ADDRESS_REFUSED: kind(422, 'The webhook address may not be called'),
  FOLLOWERS_FULL: kind(503, 'Too many callers follow jobs', true),
  DELIVERY_NOT_FOUND: kind(404, 'There is no such delivery'),
  EXPORT_MISMATCH: kind(500, 'An exported file does not agree with the trainer'),
  ENGINE_UNAVAILABLE: kind(503, 'The training engine is not available', true),
  ATTEMPT_STALE: kind(409, 'The attempt has been superseded'),
  CHECKPOINT_DAMAGED: kind(422, 'The checkpoint fails its checksum'),
  // Models and predictions
  MODEL_NOT_FOUND: kind(404, 'There is no such model'),
  VERSION_NOT_FOUND: kind(404, 'There is no such version'),
  VARIANT_NOT_FOUND: kind(404, 'There is no such variant'),
  ALIAS_NOT_FOUND: kind(404, 'There is no such alias'),
  PROMOTION_REFUSED: kind(409, 'The version does not pass the gate'),
  VERSION_IN_USE: kind(409, 'Something still uses the version'),
  ARTIFACT_NOT_FOUND: kind(404, 'There is no such artifact'),
  PREDICTION_NOT_FOUND: kind(404, 'No such prediction is remembered'),
  MODEL_INVALID: kind(422, 'The model cannot be loaded'),
  MODEL_UNSUPPORTED: kind(422, 'The model holds what is not supported'),
  MODEL_LIMIT: kind(422, 'The model exceeds a limit'),
  MODEL_NOT_READY: kind(503, 'The model is not ready', true),
  QUEUE_FULL: kind(429, 'Too many requests are waiting', true),
  ENGINE_CRASHED: kind(503, 'The inference process ended', true),
  DEADLINE_EXCEEDED: kind(504, 'The request was not answered in time', true)
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorCatalogue

/** One fault of a request: where (RFC 6901 pointer), what, and the value that was received. */
export interface Fault {
  readonly pointer: string
  readonly detail: string
  readonly received?: unknown
}

interface ServiceErrorOptions {
  readonly detail: string
  readonly errors?: readonly Fault[]
  /** Seconds after which a retry may succeed; becomes `Retry-After`. */
  readonly retryAfter?: number
  /** Whether nothing is wrong with what was asked for: others have taken all there is. @default false */
  readonly isCrowdedOut?: boolean
  readonly cause?: unknown
}

/** An expected failure with a code of the catalogue. Anything else that is thrown is a bug (500). */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ErrorCode
  readonly detail: string
  readonly errors: readonly Fault[] | undefined
  readonly retryAfter: number | undefined
  readonly isCrowdedOut: boolean

  constructor(code: ErrorCode, options: ServiceErrorOptions) {
    const { detail, errors, retryAfter, isCrowdedOut = false, cause } = options
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.detail = detail
    this.errors = errors
    this.retryAfter = retryAfter
    this.isCrowdedOut = isCrowdedOut
  }

  get status(): number {
    return errorCatalogue[this.code].status
  }
}

/**
 * What SQLite says when the system gives it no room (sqlite.org/rescode.html): ENOSPC, EDQUOT, and
 * when the index of the write-ahead log cannot grow.
 */
const sqliteFull: Readonly<Record<number, string>> = {
  13: 'SQLITE_FULL',
  778: 'SQLITE_IOERR_WRITE',
  4874: 'SQLITE_IOERR_SHMSIZE'
}

/** DISK_FULL when `error` says so, else `error` unchanged. `doing` completes the detail: `store the file`. */
export function asDiskError(error: unknown, doing: string): unknown {
  const { code, errcode } = (error ?? {}) as { readonly code?: unknown; readonly errcode?: unknown }
  const isSystem = code === 'ENOSPC' || code === 'EDQUOT'
  const reason = isSystem ? code : sqliteFull[Number(errcode)]
  if (reason === undefined) return error
  return new ServiceError('DISK_FULL', {
    detail: `Cannot ${doing}: no room is left on the disk (${reason})`,
    retryAfter: 60,
    cause: error
  })
}
