/** Which workers are there: each says so every ten seconds, and one that falls silent is forgotten. */
import type { WorkerStatus } from '../contract/internal.ts'

const silenceMs = 30_000

export interface WorkerEntry extends WorkerStatus {
  readonly id: string
  readonly seenAt: string
}

export class WorkerRegistry {
  readonly #seen = new Map<string, { readonly status: WorkerStatus; readonly at: number }>()

  note(id: string, status: WorkerStatus, now = Date.now()): void {
    this.#seen.set(id, { status, at: now })
    for (const [other, { at }] of this.#seen) if (now - at > silenceMs) this.#seen.delete(other)
  }

  /** Workers that are there, by id. */
  list(now = Date.now()): WorkerEntry[] {
    return [...this.#seen]
      .filter(([, { at }]) => now - at <= silenceMs)
      .map(([id, { status, at }]) => ({ id, ...status, seenAt: new Date(at).toISOString() }))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
  }
}
