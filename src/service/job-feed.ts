/**
 * Tells those who follow jobs when there is something new to read: one look for all of them.
 *
 * While anybody follows, the catalogue is asked every quarter of a second which jobs have new rows, and
 * the followers of those are woken. They read the rows themselves, at their own pace, so that nothing
 * is kept here for a follower that is slow.
 */
import type { BaseLogger } from 'pino'
import { newEvents, newestEvent } from '../catalog/job-events.ts'
import type { Catalog } from '../catalog/open.ts'
import { ServiceError } from '../errors.ts'
import { type EventPage, EventPages } from './event-pages.ts'

export interface JobFeedOptions {
  readonly db: Catalog
  readonly log: Pick<BaseLogger, 'error'>
  /** @default 500 */
  readonly mostFollowers?: number
  /** @default 250 */
  readonly lookEveryMs?: number
}

/** What a wait came to. gone: the follower has left, or the service is ending. */
export type Waited = 'changed' | 'quiet' | 'gone'

const retryAfterSeconds = 5

/** Somebody who follows one job. */
export class Follower {
  readonly job: string
  readonly #pages: EventPages
  readonly #leave: (follower: Follower) => void
  #hasChanged = false
  #isGone = false
  #wake = () => {}

  constructor(job: string, pages: EventPages, leave: (follower: Follower) => void) {
    this.job = job
    this.#pages = pages
    this.#leave = leave
  }

  /** The next rows of the job after a row, as far as they are there. */
  read(after: number): Promise<EventPage> {
    return this.#pages.read(this.job, after)
  }

  /** Waits until the job has rows that came after the last wait, but no longer than `withinMs`. */
  async waitForChange(withinMs: number): Promise<Waited> {
    if (!this.#hasChanged && !this.#isGone) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const timer = setTimeout(resolve, withinMs)
      await promise
      clearTimeout(timer)
    }
    if (this.#isGone) return 'gone'
    if (!this.#hasChanged) return 'quiet'
    this.#hasChanged = false
    return 'changed'
  }

  /** To be called by the feed: there may be new rows. */
  notice(): void {
    this.#hasChanged = true
    this.#wake()
  }

  /** Ends the following; a wait under way ends with `gone`. */
  leave(): void {
    this.#isGone = true
    this.#wake()
    this.#leave(this)
  }
}

export class JobFeed {
  readonly #db: Catalog
  readonly #log: Pick<BaseLogger, 'error'>
  readonly #mostFollowers: number
  readonly #lookEveryMs: number
  readonly #pages: EventPages
  readonly #followers = new Set<Follower>()
  #started: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #seen = 0
  #isLooking = false
  #isClosed = false

  constructor({ db, log, mostFollowers = 500, lookEveryMs = 250 }: JobFeedOptions) {
    this.#db = db
    this.#pages = new EventPages(db)
    this.#log = log
    this.#mostFollowers = mostFollowers
    this.#lookEveryMs = lookEveryMs
  }

  /** How many follow at the moment. */
  get followers(): number {
    return this.#followers.size
  }

  /**
   * Follows a job; every row that is written from now on is noticed.
   *
   * @throws ServiceError FOLLOWERS_FULL, SHUTTING_DOWN
   */
  async follow(job: string): Promise<Follower> {
    this.#refuseWhenFull()
    const follower = new Follower(job, this.#pages, (left) => this.#left(left))
    this.#followers.add(follower)
    if (this.#followers.size === 1) this.#started = this.#start()
    try {
      await this.#started
    } catch (error) {
      follower.leave()
      throw error
    }
    return follower
  }

  /** Ends every following, and lets nobody follow any more. */
  close(): void {
    this.#isClosed = true
    for (const follower of this.#followers) follower.leave()
  }

  #refuseWhenFull(): void {
    if (this.#isClosed) {
      throw new ServiceError('SHUTTING_DOWN', {
        detail: 'Cannot follow the job: the service is shutting down',
        retryAfter: retryAfterSeconds
      })
    }
    if (this.#followers.size < this.#mostFollowers) return
    throw new ServiceError('FOLLOWERS_FULL', {
      detail: `Cannot follow the job: ${this.#followers.size} callers follow jobs already`,
      retryAfter: retryAfterSeconds
    })
  }

  async #start(): Promise<void> {
    this.#seen = await newestEvent(this.#db)
    clearInterval(this.#timer)
    if (this.#followers.size === 0) return
    this.#timer = setInterval(() => void this.#look(), this.#lookEveryMs)
  }

  #left(follower: Follower): void {
    this.#followers.delete(follower)
    if (this.#followers.size === 0) clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    // A catalogue that is busy for longer is not asked twice at a time.
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const { newest, jobs, isIncomplete } = await newEvents(this.#db, this.#seen)
      this.#seen = newest
      const changed = new Set(jobs)
      for (const follower of this.#followers) {
        if (isIncomplete || changed.has(follower.job)) follower.notice()
      }
    } catch (error) {
      this.#log.error({ err: error }, 'look at job events failed')
    } finally {
      this.#isLooking = false
    }
  }
}
