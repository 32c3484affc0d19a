/**
 * The identity of a dataset version: SHA-256 over its images, labels and splits.
 *
 * Equal contents have equal hashes whatever their order or history, so packs and downloads are shared.
 */
import { createHash, type Hash } from 'node:crypto'

export interface HashedImage {
  readonly sha256: string
  readonly label: string
  readonly split: string
}

/** Takes images in ascending order of their SHA-256 and gives the hash, in hexadecimal. */
export class VersionHash {
  readonly #hash: Hash = createHash('sha256').update('whittle-dataset-1\n')
  #last = ''

  /** @throws RangeError when an image is out of order, or twice there. */
  add({ sha256, label, split }: HashedImage): void {
    if (sha256 <= this.#last) {
      throw new RangeError(`Cannot hash the version: ${sha256} comes after ${this.#last}`)
    }
    this.#last = sha256
    this.#hash.update(`${sha256} ${split} ${JSON.stringify(label)}\n`)
  }

  digest(): string {
    return this.#hash.digest('hex')
  }
}
