/**
 * A request body as bytes: bounded in size and in the time that it may take, held within a budget, and
 * inflated where it was sent in gzip or deflate (RFC 9110, section 8.4.1).
 */
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import { ServiceError } from '../errors.ts'
import type { Holding } from './byte-budget.ts'

interface ReadOptions {
  /** Bytes, before and after inflation. */
  readonly limit: number
  readonly holding: Holding
}

/** @throws ServiceError REQUEST_TOO_LARGE, REQUEST_MALFORMED (ended too early), QUEUE_FULL. */
export async function readAll(
  stream: Readable,
  { limit, holding }: ReadOptions
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of stream) {
      bytes += chunk.length
      if (bytes > limit) throw tooLarge(limit, 'more')
      holding.take(chunk.length)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    const detail = 'Cannot read the request: the body ended too early'
    throw new ServiceError('REQUEST_MALFORMED', { detail, cause: error })
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
}

/**
 * Runs `reading` and gives it up when the body has not arrived by then.
 *
 * @throws ServiceError REQUEST_TIMEOUT, and what `reading` throws
 */
export async function withinTime<T>(arrivalMs: number, reading: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(tooSlow(arrivalMs)), arrivalMs)
  try {
    return await Promise.race([reading, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** @throws ServiceError REQUEST_TOO_LARGE when the request states more than `limit` bytes. */
export function refuseLarge(request: FastifyRequest, limit: number): void {
  const stated = Number(request.headers['content-length'] ?? 0)
  if (stated > limit) throw tooLarge(limit, `${stated} bytes`)
}

const inflaters = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const

/**
 * Undoes the `Content-Encoding` of a request.
 *
 * @throws ServiceError MEDIA_TYPE_UNSUPPORTED for another encoding, REQUEST_TOO_LARGE when there is more
 *   inside than `limit`, REQUEST_MALFORMED when it is damaged.
 */
export async function inflated(
  request: FastifyRequest,
  bytes: Uint8Array,
  { limit, holding }: ReadOptions
): Promise<Uint8Array> {
  const encoding = String(request.headers['content-encoding'] ?? 'identity').toLowerCase()
  if (encoding === 'identity' || encoding === '') return bytes
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    throw new ServiceError('MEDIA_TYPE_UNSUPPORTED', {
      detail: `Cannot read the request: its content encoding must be gzip, deflate or identity, received ${encoding.slice(0, 60)}`
    })
  }
  try {
    const whole = await inflaters[encoding](bytes, { maxOutputLength: limit })
    holding.take(whole.length)
    return whole
  } catch (error) {
    if (error instanceof ServiceError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit, `more, in ${encoding}`)
    throw new ServiceError('REQUEST_MALFORMED', {
      detail: `Cannot read the request: its ${bytes.length} bytes are no whole ${encoding} (${message})`,
      cause: error
    })
  }
}

export function tooLarge(limit: number, received: string): ServiceError {
  return new ServiceError('REQUEST_TOO_LARGE', {
    detail: `Cannot read the request: at most ${limit} bytes are allowed, received ${received}`
  })
}

function tooSlow(arrivalMs: number): ServiceError {
  return new ServiceError('REQUEST_TIMEOUT', {
    detail: `Cannot read the request: it must arrive within ${arrivalMs / 1000} s`
  })
}
