/**
 * Refuses bytes before the disk is full, so that what was accepted can still be brought to its end.
 *
 * Two limits hold at once: that of our own (`WHITTLE_MAX_DISK`) and the free space of the file system.
 * Of each a reserve is kept back. Uploads may not touch it; files of accepted jobs may take most of it;
 * the catalogue is never asked. Room is promised before it is written, so that two callers cannot both
 * be given the last of it.
 */
import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { diskRefusal, type Purpose } from './disk-refusal.ts'
import { type FolderUse, measureFolder } from './measure-folder.ts'
import { Reservation } from './reservation.ts'
import { lastReserveOf, reserveOf } from './reserve.ts'

export interface Space {
  /** Bytes that this process may still write. */
  readonly free: number
  /** Bytes of the whole file system. */
  readonly size: number
}

export interface StorageOptions {
  readonly dataDir: string
  /** Of a worker; counts if it lies in the data folder. */
  readonly cacheDir: string
  /** Bytes that the data folder may take; 0 for no limit of our own. */
  readonly maxBytes: number
  /** @default statfs(2) of the data folder */
  readonly space?: () => Promise<Space>
  /** Told whenever something was refused for want of room, by us or by the file system. */
  readonly onFull?: () => void
}

export interface Measured {
  readonly at: Date
  readonly use: FolderUse
}

/** What is known of the room there is. All in bytes. */
export interface Room {
  readonly used: number
  /** Null when there is no limit of our own. */
  readonly limit: number | null
  readonly free: number
  /** Kept back from uploads. */
  readonly reserve: number
  /** Kept back from uploads for imports that have been accepted and have not ended. */
  readonly held: number
  /** What an upload may take now. */
  readonly room: number
}

/** Older figures are measured anew before anybody is refused for their sake. */
const freshMs = 10_000
/** How long a caller who would be refused waits before the next walk may begin. */
const longestWaitMs = 10_000

export class Storage {
  readonly #options: StorageOptions
  #measured: Measured | undefined
  /** Written since the measurement began. */
  #written = 0
  /** Promised and not yet written. */
  #promised = 0
  /** Promised to nobody yet, but kept back from uploads, by name. */
  readonly #held = new Map<string, number>()
  /** How often something was removed, by now and before the measurement began. */
  #removals = 1
  #removalsSeen = 0
  #running: Promise<unknown> = Promise.resolve()
  #waiting: Promise<Measured> | undefined
  #restUntil = 0
  /** When the walk began that the figures are of. */
  #measuredFrom = 0

  constructor(options: StorageOptions) {
    this.#options = options
  }

  /**
   * Promises room for `bytes`, and for more as it is taken. To be released by the caller.
   *
   * @throws ServiceError DISK_FULL
   */
  async reserve(purpose: Purpose, bytes: number): Promise<Reservation> {
    await this.#promise(purpose, bytes)
    return new Reservation(bytes, {
      more: (extra) => this.#promise(purpose, extra),
      wrote: (taken) => {
        this.#promised -= taken
        this.#written += taken
      },
      release: (rest) => {
        this.#promised -= rest
        this.removed()
      },
      hold: (name, held) => {
        this.#promised -= held
        this.hold(name, held)
      }
    })
  }

  /** Keeps `bytes` back from uploads under a name, whether there is room or not. */
  hold(name: string, bytes: number): void {
    this.#held.set(name, bytes)
  }

  /** Ends a hold, if there is one. */
  letGo(name: string): void {
    if (this.#held.delete(name)) this.removed()
  }

  /**
   * Promises the room that is held under a name. What others wait for does not count against it, so
   * that a small import need not wait for a large one.
   *
   * @returns what ends the promise, to be called once: the room is held again until it is let go
   * @throws ServiceError DISK_FULL
   */
  async claim(name: string, bytes: number): Promise<() => void> {
    await this.#promise('import', bytes)
    this.#held.delete(name)
    return () => {
      this.#promised -= bytes
      this.hold(name, bytes)
      this.removed()
    }
  }

  /** Says that something was removed. */
  removed(): void {
    this.#removals++
  }

  /** Says that something was refused for want of room. */
  wasFull(): void {
    this.#options.onFull?.()
  }

  /** Walks the data folder; calls that come before it begins share it. */
  measure(): Promise<Measured> {
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined
      const walk = this.#walk()
      this.#running = walk.catch(() => {})
      return walk
    })
    return this.#waiting
  }

  /** The last measurement; a new one when that is outdated, unless walks take too long. */
  async current(): Promise<Measured> {
    await this.#refresh()
    return this.#measured ?? this.measure()
  }

  /** The last measurement if it is no older than that, whatever has changed since. */
  async recent(withinMs: number): Promise<Measured> {
    const measured = this.#measured
    const isRecent = measured !== undefined && Date.now() - measured.at.getTime() <= withinMs
    return isRecent ? measured : this.current()
  }

  async room(): Promise<Room> {
    await this.current()
    const space = await this.space()
    const { maxBytes } = this.#options
    return {
      used: this.#used(),
      limit: maxBytes === 0 ? null : maxBytes,
      free: space.free,
      reserve: reserveOf(maxBytes === 0 ? space.size : Math.min(maxBytes, space.size)),
      held: this.#heldBytes(),
      room: Math.max(0, this.#roomFor('upload', space))
    }
  }

  /** What the file system has. */
  async space(): Promise<Space> {
    const { dataDir, space } = this.#options
    if (space !== undefined) return space()
    const { bavail, blocks, bsize } = await statfs(dataDir)
    return { free: bavail * bsize, size: blocks * bsize }
  }

  /** Bytes of files that the store could ever hold for one job. */
  async capacity(): Promise<number> {
    const { maxBytes } = this.#options
    const { size } = await this.space()
    const whole = maxBytes === 0 ? size : Math.min(maxBytes, size)
    return whole - lastReserveOf(whole)
  }

  async #promise(purpose: Purpose, bytes: number): Promise<void> {
    if (this.#measured === undefined) await this.measure()
    let space = await this.space()
    const hasLimit = this.#options.maxBytes > 0
    // Nobody is refused for figures that may be outdated.
    if (hasLimit && bytes > this.#roomFor(purpose, space) && (await this.#refresh())) {
      space = await this.space()
    }
    // From here to the promise nothing else runs.
    const room = this.#roomFor(purpose, space)
    if (bytes > room) {
      const figures = { used: this.#used(), limit: this.#options.maxBytes, held: this.#heldBytes() }
      throw diskRefusal({ purpose, bytes, room, ...figures, free: space.free })
    }
    this.#promised += bytes
    // What others write (a worker, Redis, an importer) is noticed soon, and by nobody's waiting.
    if (hasLimit) this.#refresh().catch(() => {})
  }

  #used(): number {
    return (this.#measured ? sum(this.#measured.use) : 0) + this.#written
  }

  #heldBytes(): number {
    return this.#held.values().reduce((total, bytes) => total + bytes, 0)
  }

  #roomFor(purpose: Purpose, { free, size }: Space): number {
    const { maxBytes } = this.#options
    const kept = purpose === 'job' ? lastReserveOf : reserveOf
    const ofLimit = maxBytes === 0 ? Number.POSITIVE_INFINITY : maxBytes - this.#used()
    const ours = maxBytes === 0 ? 0 : kept(maxBytes)
    const held = purpose === 'upload' ? this.#heldBytes() : 0
    return Math.min(ofLimit - ours, free - kept(size)) - this.#promised - held
  }

  /** Measures anew what may be outdated. False when it is not, or when that would take too long. */
  async #refresh(): Promise<boolean> {
    if (!this.#isOutdated()) return false
    const askedAt = performance.now()
    for (;;) {
      // Only when a walk is over is it known for how long to rest after it.
      await this.#running
      if (this.#measuredFrom > askedAt) return true
      const wait = this.#restUntil - performance.now()
      if (wait > longestWaitMs) return false
      if (wait <= 0) break
      await sleep(wait)
    }
    await this.measure()
    return true
  }

  #isOutdated(): boolean {
    return (
      this.#removals > this.#removalsSeen ||
      Date.now() - (this.#measured?.at.getTime() ?? 0) > freshMs
    )
  }

  async #walk(): Promise<Measured> {
    const { dataDir, cacheDir } = this.#options
    const begun = performance.now()
    const before = this.#written
    const removals = this.#removals
    const use = await measureFolder(dataDir, cacheDir)
    // What was written during the walk may be in it or not; counting it twice errs on the safe side.
    this.#written -= before
    const measured = { at: new Date(), use }
    this.#measured = measured
    this.#measuredFrom = begun
    this.#removalsSeen = removals
    // At least half of the time no walk is under way, however often one is asked for.
    this.#restUntil = 2 * performance.now() - begun
    return measured
  }
}

const sum = ({ files: _, ...parts }: FolderUse): number =>
  Object.values(parts).reduce((total, bytes) => total + bytes, 0)
