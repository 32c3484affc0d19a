/**
 * The worker's side of `/internal/v1`: every REST call a worker makes.
 *
 * A call is repeated while the api is away (restart, network), because the worker's job is worth more
 * than its patience; an answer of 4xx is final. 409 ATTEMPT_STALE means another attempt has taken over.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type {
  Claim,
  EventBatch,
  Heartbeat,
  LatencyAnswer,
  LatencyRequest,
  Orders,
  Outcome,
  WorkerStatus
} from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'

/** An answer that repeating will not change. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal'
  readonly status: number
  /** The problem document's code, or `UNKNOWN`. */
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(`${code}: ${detail}`)
    this.status = status
    this.code = code
  }
}

export interface ApiClientOptions {
  /** Such as `http://127.0.0.1:8000`. */
  readonly url: string
  readonly token: string
  /** How long a call is repeated while the api is away, in milliseconds. @default 600_000 */
  readonly patienceMs?: number
}

export interface ApiClient {
  announce(worker: string, status: WorkerStatus, signal: AbortSignal): Promise<void>
  /** Undefined when the catalogue does not want this dispatch to run (any more). */
  claim(job: string, claim: Claim, signal: AbortSignal): Promise<Assignment | undefined>
  /** Writes the dataset's manifest: a header, then a line per image. */
  downloadManifest(dataset: DatasetRef, file: string, signal: AbortSignal): Promise<void>
  /** Writes the dataset's images as a tar file. */
  downloadImages(dataset: DatasetRef, file: string, signal: AbortSignal): Promise<void>
  /** Everything about one claimed attempt. */
  attempt(assignment: Assignment, signal: AbortSignal): AttemptClient
}

export interface DatasetRef {
  readonly id: string
  readonly version: number
}

/** Calls that carry the fencing token of one attempt. */
export interface AttemptClient {
  /** One try only: a missed beat is followed by the next. */
  heartbeat(beat: Heartbeat): Promise<Orders>
  sendEvents(batch: EventBatch): Promise<void>
  putCheckpoint(name: string, file: string, sha256: string): Promise<void>
  getCheckpoint(name: string, file: string): Promise<void>
  putArtifact(name: string, file: string, sha256: string): Promise<void>
  measureLatency(request: LatencyRequest): Promise<LatencyAnswer>
  sendOutcome(outcome: Outcome): Promise<void>
}

interface Call {
  readonly method: string
  readonly path: string
  readonly signal: AbortSignal
  readonly attempt?: number
  readonly json?: unknown
  readonly upload?: { readonly file: string; readonly sha256: string }
  /** False: one try. @default true */
  readonly persist?: boolean
  readonly timeoutMs?: number
}

type Send = (call: Call) => Promise<Response>

export function createApiClient({ url, token, patienceMs = 600_000 }: ApiClientOptions): ApiClient {
  const send: Send = (call) => persist(() => request({ url, token, call }), call, patienceMs)
  return {
    async announce(worker, status, signal) {
      const path = `workers/${encodeURIComponent(worker)}`
      await send({ method: 'PUT', path, json: status, signal, persist: false, timeoutMs: 5000 })
    },
    async claim(job, claim, signal) {
      try {
        const path = `jobs/${job}/attempts`
        const answer = await send({ method: 'POST', path, json: claim, signal })
        return (await answer.json()) as Assignment
      } catch (error) {
        if (error instanceof ApiRefusal && [404, 409].includes(error.status)) return undefined
        throw error
      }
    },
    downloadManifest({ id, version }, file, signal) {
      const path = `datasets/${id}/versions/${version}`
      return download(send, { method: 'GET', path, signal }, file)
    },
    downloadImages({ id, version }, file, signal) {
      const path = `datasets/${id}/versions/${version}/images`
      return download(send, { method: 'GET', path, signal }, file)
    },
    attempt: (assignment, signal) => attemptClient(send, assignment, signal)
  }
}

function attemptClient(
  send: Send,
  { job, attempt }: Assignment,
  signal: AbortSignal
): AttemptClient {
  const base = { attempt, signal }
  const at = (rest: string): string => `jobs/${job}/${rest}`
  const post = (rest: string, json: unknown, more: Partial<Call> = {}): Promise<Response> =>
    send({ ...base, method: 'POST', path: at(rest), json, ...more })
  const put = async (rest: string, file: string, sha256: string): Promise<void> => {
    await send({ ...base, method: 'PUT', path: at(rest), upload: { file, sha256 } })
  }
  return {
    async heartbeat(beat) {
      const answer = await post('heartbeat', beat, { persist: false, timeoutMs: 5000 })
      return (await answer.json()) as Orders
    },
    async sendEvents(batch) {
      await post('events', batch)
    },
    putCheckpoint: (name, file, sha256) => put(`checkpoints/${name}`, file, sha256),
    getCheckpoint: (name, file) =>
      download(send, { ...base, method: 'GET', path: at(`checkpoints/${name}`) }, file),
    putArtifact: (name, file, sha256) => put(`artifacts/${name}`, file, sha256),
    async measureLatency(json) {
      return (await (await post('latency', json)).json()) as LatencyAnswer
    },
    async sendOutcome(outcome) {
      await post('outcome', outcome)
    }
  }
}

/** A body that breaks off half-way is repeated like a call that was never answered. */
async function download(send: Send, call: Call, file: string): Promise<void> {
  for (let tries = 3; ; tries -= 1) {
    const answer = await send(call)
    if (answer.body === null) throw new TypeError(`Cannot download ${call.path}: received no body`)
    try {
      await pipeline(Readable.fromWeb(answer.body), createWriteStream(file), {
        signal: call.signal
      })
      return
    } catch (error) {
      if (tries === 1 || call.signal.aborted) throw error
    }
  }
}

const firstPauseMs = 200
const longestPauseMs = 5000

async function persist(
  attempt: () => Promise<Response>,
  call: Call,
  patienceMs: number
): Promise<Response> {
  const deadline = performance.now() + patienceMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await attempt()
    } catch (error) {
      const over = performance.now() + pauseMs > deadline
      if (isFinal(error) || call.persist === false || over || call.signal.aborted) throw error
      await sleep(pauseMs, undefined, { signal: call.signal })
    }
  }
}

/** A refusal stays one, and a file that is not there does not come back. */
function isFinal(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.status < 500 && error.status !== 429
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

async function request({
  url,
  token,
  call
}: {
  readonly url: string
  readonly token: string
  readonly call: Call
}): Promise<Response> {
  // Within fetch, a file that cannot be opened would look like an api that cannot be reached.
  if (call.upload !== undefined) await access(call.upload.file)
  const headers: Record<string, string> = { authorization: `Bearer ${token}` }
  if (call.attempt !== undefined) headers['whittle-attempt'] = String(call.attempt)
  if (call.json !== undefined) headers['content-type'] = 'application/json'
  if (call.upload !== undefined) {
    headers['content-type'] = 'application/octet-stream'
    headers['content-sha256'] = call.upload.sha256
  }
  const { timeoutMs, signal } = call
  const answer = await fetch(new URL(`/internal/v1/${call.path}`, url), {
    method: call.method,
    headers,
    signal:
      timeoutMs === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    ...body(call)
  })
  if (!answer.ok) throw await refusal(answer)
  return answer
}

function body({ json, upload }: Call): RequestInit {
  if (json !== undefined) return { body: JSON.stringify(json) }
  if (upload === undefined) return {}
  const stream = Readable.toWeb(createReadStream(upload.file)) as ReadableStream
  return { body: stream, duplex: 'half' } as RequestInit
}

async function refusal(answer: Response): Promise<ApiRefusal> {
  const text = await answer.text()
  const problem = parseObject(text)
  const code = typeof problem.code === 'string' ? problem.code : 'UNKNOWN'
  const detail = typeof problem.detail === 'string' ? problem.detail : text.slice(0, 500)
  return new ApiRefusal(answer.status, code, `${detail} (${answer.status} from ${answer.url})`)
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
