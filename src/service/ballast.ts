/**
 * A file that is thrown overboard when the disk is full to the last byte.
 *
 * SQLite needs room to write down that something is deleted. Where other programs have taken all of it,
 * nothing could be deleted any more and nothing put right over REST; with the ballast gone it can. Our
 * own uploads and files cannot take that room, because they keep off the reserve.
 */
import { open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { flushFolder } from '../blob/flush-folder.ts'
import type { Storage } from './storage.ts'

const MiB = 2 ** 20
/** The write-ahead log grows by 4 MiB before it begins anew (sqlite.org/wal.html, section 3.1). */
const mostBytes = 8 * MiB
const mostShare = 0.02

export interface BallastOptions {
  /** In the folder of the catalogue, whose file system it is about. */
  readonly file: string
  readonly storage: Pick<Storage, 'space'>
}

export class Ballast {
  readonly #options: BallastOptions
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: BallastOptions) {
    this.#options = options
  }

  /** Takes it on board, unless it is there or there is less room than ten times its size. */
  load(): Promise<void> {
    return this.#inTurn(async () => {
      const { free, size } = await this.#options.storage.space()
      const bytes = Math.floor(Math.min(mostBytes, size * mostShare))
      if (free > 10 * bytes) await this.#write(bytes)
    })
  }

  /** Throws it overboard if there is less room than it takes. Removing what is not there is no error. */
  drop(): Promise<void> {
    return this.#inTurn(async () => {
      const { free } = await this.#options.storage.space()
      if (free < mostBytes) await rm(this.#options.file, { force: true })
    })
  }

  async #write(bytes: number): Promise<void> {
    const { file } = this.#options
    try {
      const handle = await open(file, 'wx', 0o600)
      try {
        // Zeros that were written: a hole would take no room.
        for (let at = 0; at < bytes; at += MiB) {
          await handle.write(Buffer.alloc(Math.min(MiB, bytes - at)), 0, undefined, at)
        }
        await handle.sync()
      } finally {
        await handle.close()
      }
      await flushFolder(dirname(file))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}
