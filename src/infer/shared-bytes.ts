/**
 * Memory that the api writes and an engine reads: how the bytes of large images get from one to the other.
 *
 * A file without a name, in memory where the system has a place for that, which both processes have open. A
 * socket takes some 200 kB at a time, so that both sides are woken several times for one tensor of 224 pixels;
 * here it is one copy in and one out. Linux keeps such a file as pages (tmpfs), without a disk; elsewhere it is
 * a temporary file. [Why](../../docs/decisions/0019-large-bodies-cross-in-shared-memory.md)
 */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readSync,
  unlinkSync,
  writeSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Bytes of a batch. What is larger goes through the socket: decoding it costs far more. */
const slotBytes = 4 * 1024 * 1024
/** Fewer fit into one write to the socket, beside the frame that must be written in any case. */
const worthBytes = 16 * 1024
/** An engine has one batch to run and one that was sent ahead. */
const slots = 2

/** Where the bytes of a batch are. */
export interface Slot {
  /** From the beginning of the file. */
  readonly at: number
}

/** The side that writes. */
export class SharedBytes {
  /** For the engine to inherit; null where no file can be made, and nothing can be written then. */
  readonly fd: number | null = openNameless()
  readonly #free: Slot[] = Array.from({ length: slots }, (_, i) => ({ at: i * slotBytes }))
  #isOpen = this.fd !== null

  /**
   * Writes `parts`, one behind the other. Returns null where that is not worth it or they do not fit: then they
   * must take another way.
   */
  write(parts: readonly Uint8Array[]): Slot | null {
    const bytes = parts.reduce((sum, { length }) => sum + length, 0)
    if (this.fd === null || !this.#isOpen || bytes < worthBytes || bytes > slotBytes) return null
    const slot = this.#free.pop()
    if (slot === undefined) return null
    if (this.#fill(this.fd, slot, parts) === bytes) return slot
    this.#free.push(slot)
    return null
  }

  /** Returns how many bytes were written: fewer when the place is full; many containers have 64 MiB of it. */
  #fill(fd: number, { at }: Slot, parts: readonly Uint8Array[]): number {
    let end = at
    try {
      for (const part of parts) end += writeSync(fd, part, 0, part.length, end)
    } catch {
      // Full, or not to be written: the socket takes what this does not.
    }
    return end - at
  }

  /** The bytes have been read. */
  release(slot: Slot): void {
    this.#free.push(slot)
  }

  close(): void {
    if (this.#isOpen && this.fd !== null) closeSync(this.fd)
    this.#isOpen = false
  }
}

/** The side that reads. What it returns lasts until the next read. */
export class SharedBytesReader {
  readonly #fd: number
  #bytes = Buffer.alloc(0)

  constructor(fd: number) {
    this.#fd = fd
  }

  /** @throws Error when there are fewer */
  read({ at }: Slot, bytes: number): Buffer {
    if (this.#bytes.length < bytes) this.#bytes = Buffer.allocUnsafeSlow(bytes)
    const read = readSync(this.#fd, this.#bytes, 0, bytes, at)
    if (read < bytes) throw new Error(`Cannot read ${bytes} bytes of a batch: ${read} are there`)
    return this.#bytes.subarray(0, bytes)
  }
}

function openNameless(): number | null {
  const file = join(folder(), `whittle-${randomUUID()}`)
  try {
    const fd = openSync(file, 'wx+', 0o600)
    unlinkSync(file)
    return fd
  } catch {
    return null
  }
}

/** POSIX shared memory, shm_overview(7), or wherever temporary files go. */
function folder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return tmpdir()
  }
}
