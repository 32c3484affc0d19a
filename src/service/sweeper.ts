/**
 * Removes what nothing refers to: every hour, and once more when there was no room for something.
 *
 * Sweeps never overlap: who asks for one while one is under way is given that one.
 */
import type { BaseLogger } from 'pino'
import type { Blobs } from '../blob/blobs.ts'
import { unreferencedImages } from '../catalog/dataset-removal.ts'
import { findImporting } from '../catalog/dataset-versions.ts'
import { unreferenced } from '../catalog/job-files.ts'
import type { Catalog } from '../catalog/open.ts'
import type { LastSweep } from '../contract/storage.ts'
import { type Swept, sweepBlobs } from './sweep-blobs.ts'
import { sweepLeftovers } from './sweep-leftovers.ts'

export interface SweeperOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly images: Blobs
  readonly dataDir: string
  readonly log: Pick<BaseLogger, 'info' | 'error'>
  /** Called after each sweep. */
  readonly onSwept: () => Promise<unknown>
}

/** A disk that stays full is not swept again for every request that it refuses. */
const restMs = 60_000

export class Sweeper {
  readonly #options: SweeperOptions
  #running: Promise<LastSweep> | undefined
  #last: LastSweep | null = null

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  /** What the last sweep of this process came to. */
  get last(): LastSweep | null {
    return this.#last
  }

  sweep(now = Date.now()): Promise<LastSweep> {
    this.#running ??= this.#sweep(now).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Sweeps in the background, unless that was done just now. */
  soon(now = Date.now()): void {
    if (this.#last !== null && now - Date.parse(this.#last.at) < restMs) return
    this.sweep(now).catch((error) => this.#options.log.error({ err: error }, 'sweep failed'))
  }

  /** Settles when no sweep is under way. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => {})
  }

  async #sweep(now: number): Promise<LastSweep> {
    const { db, blobs, images, dataDir, log, onSwept } = this.#options
    // Files and images have stores of their own, because different rows refer to them.
    const files = await sweepBlobs(db, blobs, unreferenced, now)
    const pictures = await sweepBlobs(db, images, unreferencedImages, now)
    const importing = new Set((await findImporting(db)).map(({ id }) => id))
    const leftovers = await sweepLeftovers({ dataDir, importing, now })
    const { removed, bytes } = sum(files, pictures, leftovers)
    this.#last = { at: new Date(now).toISOString(), removed, bytes }
    log.info({ files, images: pictures, leftovers }, 'swept')
    await onSwept()
    return this.#last
  }
}

const sum = (...parts: readonly Swept[]): Swept => ({
  removed: parts.reduce((total, { removed }) => total + removed, 0),
  bytes: parts.reduce((total, { bytes }) => total + bytes, 0)
})
