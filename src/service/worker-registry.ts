/**
 * Which workers are there, and which of them shall drain: finish what they run and take nothing new.
 *
 * Each worker gives a sign of life every two seconds and gets its order as the answer; one that falls
 * silent is forgotten. Nothing is stored: a worker goes on draining while the api is away, says so to
 * the next one, and that takes it over.
 */
import type { WorkerOrders, WorkerStatus } from '../contract/internal.ts'
import { ServiceError } from '../errors.ts'

const silenceMs = 20_000

export interface WorkerEntry extends WorkerStatus {
  readonly id: string
  readonly order: 'work' | 'drain'
  readonly seenAt: string
}

interface Seen {
  readonly status: WorkerStatus
  readonly drain: boolean
  readonly at: number
}

export class WorkerRegistry {
  readonly #seen = new Map<string, Seen>()

  /** Takes a sign of life, and says what the worker shall do. */
  note(id: string, status: WorkerStatus, now = Date.now()): WorkerOrders {
    this.#dropSilent(now)
    const known = this.#seen.get(id)
    // A name may come back with another process, in a restarted container for one, which was told nothing.
    const isSame = known !== undefined && known.status.startedAt === status.startedAt
    const drain = isSame ? known.drain : status.draining
    this.#seen.set(id, { status, drain, at: now })
    return { drain }
  }

  /** Tells a worker to drain or to work. @throws ServiceError WORKER_NOT_FOUND */
  order(id: string, order: WorkerEntry['order'], now = Date.now()): WorkerEntry {
    this.#dropSilent(now)
    const known = this.#seen.get(id)
    if (known === undefined) {
      throw new ServiceError('WORKER_NOT_FOUND', {
        detail: `Cannot find the worker: received ${JSON.stringify(id)}; GET /v1/workers names those that are there`
      })
    }
    const seen = { ...known, drain: order === 'drain' }
    this.#seen.set(id, seen)
    return entry(id, seen)
  }

  /** A worker that says goodbye is gone at once. */
  forget(id: string): void {
    this.#seen.delete(id)
  }

  /** Workers that are there, by id. */
  list(now = Date.now()): WorkerEntry[] {
    this.#dropSilent(now)
    return [...this.#seen]
      .map(([id, seen]) => entry(id, seen))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  #dropSilent(now: number): void {
    for (const [id, { at }] of this.#seen) if (now - at > silenceMs) this.#seen.delete(id)
  }
}

const entry = (id: string, { status, drain, at }: Seen): WorkerEntry => ({
  id,
  ...status,
  order: drain ? 'drain' : 'work',
  seenAt: new Date(at).toISOString()
})
