/**
 * HTTP as a caller makes it who does not give up: every creation carries an `Idempotency-Key` and is
 * repeated until it is answered.
 *
 * Whatever comes back is looked at here: an answer of 500, and none at all while the api was up, are
 * findings wherever they happen.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Problem } from '../../src/contract/problem.ts'
import type { Ledger } from './ledger.ts'
import type { Outages } from './outages.ts'

export interface Answer<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T
}

export interface Call {
  readonly path: string
  /** @default GET */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly json?: unknown
  /** Made anew for every try. */
  readonly form?: () => FormData
  readonly png?: Buffer
  readonly key?: string
}

export interface ClientOptions {
  readonly url: string
  readonly ledger: Ledger
  readonly outages: Outages
}

/** Longer than anything here is frozen; a busy machine is slow. */
const answerWithinMs = 90_000
const patienceMs = 300_000
const pauseMs = 200

export class Client {
  readonly #options: ClientOptions

  constructor(options: ClientOptions) {
    this.#options = options
  }

  get url(): string {
    return this.#options.url
  }

  /** One try. Undefined when it was not answered. */
  async ask<T>(call: Call): Promise<Answer<T> | undefined> {
    const { url, ledger, outages } = this.#options
    const what = `${call.method ?? 'GET'} ${call.path}`
    const began = performance.now()
    try {
      const response = await fetch(url + call.path, requestOf(call))
      const text = await response.text()
      const { status, headers } = response
      ledger.countAnswer(`${status}`)
      if (status >= 500 && status !== 503 && status !== 507) {
        ledger.find('wrong', `${what} was answered ${status}`, text)
      }
      const isJson = (headers.get('content-type') ?? '').includes('json')
      return { status, headers, body: (isJson ? JSON.parse(text) : text) as T }
    } catch (error) {
      ledger.countAnswer('none')
      if (!outages.covers(began)) {
        const { message, cause } = error as Error
        ledger.find('wrong', `${what} was not answered`, `${message} ${cause ?? ''}`)
      }
      return undefined
    }
  }

  /** Asks until the answer is one that asking again would not change. @throws Error after minutes */
  async insist<T>(call: Call): Promise<Answer<T>> {
    for (const deadline = performance.now() + patienceMs; performance.now() < deadline; ) {
      const answer = await this.ask<T>(call)
      if (answer !== undefined && isFinal(answer)) return answer
      await sleep(pauseMs)
    }
    throw new Error(`${call.method ?? 'GET'} ${call.path} got no final answer in ${patienceMs} ms`)
  }

  /** All items of a list, newest first. */
  async list<T>(path: string): Promise<T[]> {
    const items: T[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `limit=200${cursor === '' ? '' : `&cursor=${cursor}`}`
      const { body } = await this.insist<{ items: T[]; next: string | null }>({
        path: `${path}?${query}`
      })
      items.push(...body.items)
      cursor = body.next
    }
    return items
  }
}

/** The code of a problem document; undefined for every other answer. */
export const codeOf = ({ body }: Answer<unknown>): string | undefined =>
  (body as Partial<Problem> | null)?.code

function isFinal(answer: Answer<unknown>): boolean {
  if (answer.status >= 500 || answer.status === 429) return false
  return codeOf(answer) !== 'IDEMPOTENCY_IN_PROGRESS'
}

function requestOf({ method = 'GET', json, form, png, key }: Call): RequestInit {
  const headers: Record<string, string> = {}
  if (json !== undefined) headers['content-type'] = 'application/json'
  if (png !== undefined) headers['content-type'] = 'image/png'
  if (key !== undefined) headers['idempotency-key'] = key
  const request: RequestInit = { method, headers, signal: AbortSignal.timeout(answerWithinMs) }
  if (json !== undefined) request.body = JSON.stringify(json)
  if (form !== undefined) request.body = form()
  if (png !== undefined) request.body = new Uint8Array(png)
  return request
}
