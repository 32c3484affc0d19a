/**
 * One try to deliver a webhook: one connection, one POST, and the status of the answer.
 *
 * Sockets are never reused, as a kept one would skip the check of its address. Redirects are answers
 * like others; what the receiver says beyond its status is thrown away unread.
 */
import http, { type IncomingMessage, type RequestOptions } from 'node:http'
import https from 'node:https'
import type { WebhookTargets } from '../contract/delivery.ts'
import { ServiceError } from '../errors.ts'
import { urlFault } from './address.ts'
import { checkedLookup, type Resolve, systemResolve } from './resolve.ts'
import { sign } from './sign.ts'

export interface WebhookTry {
  readonly id: string
  readonly url: string
  readonly body: string
  readonly key: Uint8Array
  readonly at: Date
  readonly targets: WebhookTargets
  /** @default the system's resolver */
  readonly resolve?: Resolve | undefined
  /** For name, connection and answer together. @default 15_000 */
  readonly timeoutMs?: number | undefined
  /** Breaks the try off. */
  readonly signal?: AbortSignal | undefined
}

/** The status of the answer, or why there was none. */
export type WebhookAnswer =
  | { readonly status: number; readonly error: null }
  | { readonly status: null; readonly error: string }

const usualTimeoutMs = 15_000
/** What a polite receiver may say after its status before it is cut off. */
const ignoredBytes = 65_536
const ignoredMs = 1000
const longestReason = 500

/** Sends a message once. Never throws: what goes wrong is the answer. */
export async function sendWebhook(options: WebhookTry): Promise<WebhookAnswer> {
  try {
    return { status: await post(options), error: null }
  } catch (error) {
    return { status: null, error: reasonOf(error) }
  }
}

async function post(options: WebhookTry): Promise<number> {
  const { url, body, targets, timeoutMs = usualTimeoutMs } = options
  // A literal address is connected to without a lookup, and the setting may have become stricter.
  const fault = urlFault(url, targets)
  if (fault !== null) {
    throw new ServiceError('WEBHOOK_ADDRESS_REFUSED', {
      detail: `Cannot call the URL: it ${fault}`
    })
  }
  const target = new URL(url)
  const { request: open } = target.protocol === 'https:' ? https : http
  return new Promise<number>((resolve, reject) => {
    const request = open(target, requestOptions(options))
    const giveUp = () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`))
    const deadline = setTimeout(giveUp, timeoutMs)
    request.on('response', (response) => {
      resolve(response.statusCode ?? 0)
      ignore(response)
    })
    request.on('error', reject)
    request.on('close', () => {
      clearTimeout(deadline)
      reject(new Error('the connection was closed without an answer'))
    })
    request.end(body)
  })
}

function requestOptions(options: WebhookTry): RequestOptions {
  const { id, body, key, at, targets, resolve = systemResolve, signal } = options
  const timestamp = Math.floor(at.getTime() / 1000)
  return {
    method: 'POST',
    agent: false,
    lookup: checkedLookup(targets, resolve),
    ...(signal === undefined ? {} : { signal }),
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'user-agent': 'whittle',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': sign({ id, timestamp, body }, key)
    }
  }
}

/** Lets a short answer end by itself, which receivers log as a success, and cuts off any other. */
function ignore(response: IncomingMessage): void {
  let bytes = 0
  const enough = setTimeout(() => response.destroy(), ignoredMs)
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > ignoredBytes) response.destroy()
  })
  response.on('error', () => {})
  response.on('close', () => clearTimeout(enough))
}

/** In words for the delivery log; Node's messages name hosts and addresses, never the whole URL. */
function reasonOf(error: unknown): string {
  // Where a name has several addresses, the failure to reach any of them is one error of many.
  const causes = error instanceof AggregateError ? error.errors : [error]
  const reasons = causes.map((cause: Error) => cause.message || cause.name)
  return reasons.join('; ').slice(0, longestReason)
}
