/** Images that have ended engines, so that they are refused before they end another. */
import { createHash } from 'node:crypto'
import type { Question } from './messages.ts'

/** The one that was added first is forgotten first. */
const most = 1000

export class Poison {
  readonly #digests = new Set<string>()

  /** Remembers an image. Returns its SHA-256. */
  add(question: Question): string {
    const sha256 = digestOf(question)
    const [oldest] = this.#digests
    if (this.#digests.size >= most && oldest !== undefined) this.#digests.delete(oldest)
    this.#digests.add(sha256)
    return sha256
  }

  /** Costs nothing until there is one. */
  has(question: Question): boolean {
    return this.#digests.size > 0 && this.#digests.has(digestOf(question))
  }
}

const digestOf = ({ bytes }: Question): string => createHash('sha256').update(bytes).digest('hex')
