/**
 * Reads the histories of jobs for all who follow them, one page at a time.
 *
 * Hundreds of followers that are woken at once would stand in each other's way before the one
 * connection, and in that of every request. Those that want the same page share the read of it.
 */
import { type JobEventRow, jobEvents, jobState } from '../catalog/job-events.ts'
import type { Catalog } from '../catalog/open.ts'
import type { JobState } from '../contract/job.ts'
import { Turns } from './turns.ts'

export interface EventPage {
  /** Of the job, before the rows were read; undefined when there is no such job any more. */
  readonly state: JobState | undefined
  readonly rows: readonly JobEventRow[]
  /** Whether there may be more rows already. */
  readonly isFull: boolean
}

/** Rows that are read, and held for a follower, at a time. */
const pageRows = 50

export class EventPages {
  readonly #db: Catalog
  readonly #turns = new Turns(1)
  /** Reads that have not begun: whoever joins one that has might miss what was written since. */
  readonly #waiting = new Map<string, Promise<EventPage>>()

  constructor(db: Catalog) {
    this.#db = db
  }

  /** The rows of a job after a row. */
  read(id: string, after: number): Promise<EventPage> {
    const key = `${id} ${after}`
    const known = this.#waiting.get(key)
    if (known !== undefined) return known
    const page = this.#readLater(key, { id, after })
    this.#waiting.set(key, page)
    return page
  }

  async #readLater(
    key: string,
    { id, after }: { readonly id: string; readonly after: number }
  ): Promise<EventPage> {
    // Not before others can have joined.
    await null
    return this.#turns.run(async () => {
      this.#waiting.delete(key)
      const state = await jobState(this.#db, id)
      const rows = await jobEvents(this.#db, { id, after, limit: pageRows })
      return { state, rows, isFull: rows.length === pageRows }
    })
  }
}
