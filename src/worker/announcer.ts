/**
 * A worker's signs of life, and what it does on the orders that come back: drain, or work again.
 *
 * A draining worker lets its running jobs go on to their end. It drains on while the api is away, and
 * tells the next one, which then knows; only a new process begins without orders.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { EngineInfo } from '../contract/internal.ts'
import type { Consumer } from '../queue/consumer.ts'
import type { ApiClient } from './api-client.ts'

export interface AnnouncerOptions {
  readonly api: Pick<ApiClient, 'announce' | 'sayGoodbye'>
  readonly consumer: Pick<Consumer, 'pause' | 'resume'>
  readonly log: Pick<Logger, 'info'>
  readonly worker: string
  readonly engine: EngineInfo
  readonly slots: number
  /** Attempts that are running. */
  readonly busy: () => number
  /** @default 2000 */
  readonly everyMs?: number
}

export interface Announcer {
  /** Takes nothing new from now on, whatever the api orders: the worker is about to end. */
  retire(): Promise<void>
  /** Has the api forget the worker. Never fails: it forgets those that fall silent, too. */
  close(): Promise<void>
}

const defaultEveryMs = 2000

export function startAnnouncing(options: AnnouncerOptions): Announcer {
  const { api, consumer, log, worker, engine, slots, busy, everyMs = defaultEveryMs } = options
  const startedAt = new Date().toISOString()
  const end = new AbortController()
  let draining = false
  let retired = false

  /** Whether anything has changed by it. */
  const announce = async (): Promise<boolean> => {
    const status = { engine, slots, busy: busy(), draining, startedAt }
    const { drain } = await api.announce(worker, status, end.signal)
    if (retired || drain === draining) return false
    draining = drain
    log.info(drain ? 'draining: takes nothing new' : 'takes jobs again')
    await (drain ? consumer.pause() : consumer.resume())
    return true
  }
  const loop = async (): Promise<void> => {
    while (!end.signal.aborted) {
      // A missed sign of life is followed by the next; what has changed is told at once.
      const hasChanged = await announce().catch(() => false)
      if (!hasChanged) await sleep(everyMs, undefined, { signal: end.signal }).catch(() => {})
    }
  }
  const looping = loop()
  return {
    async retire() {
      retired = true
      draining = true
      await consumer.pause()
    },
    async close() {
      end.abort()
      await looping
      await api.sayGoodbye(worker).catch(() => {})
    }
  }
}
