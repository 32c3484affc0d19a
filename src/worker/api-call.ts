/**
 * One call to the api, and its repetition while the api is away (restart, network): a worker's job is
 * worth more than its patience. An answer of 4xx is final, and so is a full disk here.
 */
import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TraceContext } from '../contract/trace.ts'

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

/** An answer that began and did not come to its end. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff'
}

/** Whether another attempt has taken over, or nobody wants the job any more. */
export const isStale = (error: unknown): boolean =>
  error instanceof ApiRefusal && ['ATTEMPT_STALE', 'JOB_NOT_FOUND'].includes(error.code)

export interface Upload {
  readonly file: string
  readonly sha256: string
  /** Of a checkpoint: those that the attempt was handed and could not use. @default none */
  readonly damaged?: readonly string[]
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly signal: AbortSignal
  readonly attempt?: number
  /** What the call is part of. */
  readonly trace?: TraceContext | undefined
  readonly json?: unknown
  readonly upload?: Upload
  /** False: one try. @default true */
  readonly persist?: boolean
  readonly timeoutMs?: number
}

/**
 * Reading the answer belongs to the call: what breaks off half-way is asked for again. `since` is when
 * the try began that is being answered, on the clock of `performance.now()`.
 */
export type Send = <T>(
  call: Call,
  use: (answer: Response, since: number) => Promise<T>
) => Promise<T>

const firstPauseMs = 200
const longestPauseMs = 5000

/** Repeats `exchange` until it succeeds, its failure is final, or it has failed for `patienceMs`. */
export async function persist<T>(
  exchange: () => Promise<T>,
  call: Call,
  patienceMs: number
): Promise<T> {
  let deadline: number | undefined
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await exchange()
    } catch (error) {
      deadline ??= performance.now() + patienceMs
      const over = performance.now() + pauseMs > deadline
      if (isFinal(error) || call.persist === false || over || call.signal.aborted) throw error
      await sleep(pauseMs, undefined, { signal: call.signal })
    }
  }
}

/** A refusal stays one, a file that is not there does not come back, and a full disk does not empty. */
function isFinal(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.status < 500 && ![408, 429].includes(error.status)
  return ['ENOENT', 'DISK_FULL'].includes(String((error as { code?: unknown }).code))
}

/** @throws ApiRefusal for an answer that is none; what fetch() throws. */
export async function request({
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
  const headers: Record<string, string> = { authorization: `Bearer ${token}`, ...call.trace }
  if (call.attempt !== undefined) headers['whittle-attempt'] = String(call.attempt)
  if (call.json !== undefined) headers['content-type'] = 'application/json'
  if (call.upload !== undefined) {
    headers['content-type'] = 'application/octet-stream'
    headers['content-sha256'] = call.upload.sha256
    const { damaged = [] } = call.upload
    if (damaged.length > 0) headers['whittle-damaged'] = damaged.join(',')
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
