/** Images that have ended engines, so that they are refused before they end another. */
import { createHash } from 'node:crypto'
import type { Question } from './messages.ts'
import type { Entry, Served } from './request.ts'

/** The one that was added first is forgotten first. */
const most = 1000

export class Poison {
  readonly #digests = new Set<string>()

  /** Refuses an image that was alone in an engine that ended, for the second time. Returns its SHA-256. */
  add({ question, resolve }: Entry): string {
    const sha256 = digestOf(question)
    const [oldest] = this.#digests
    if (this.#digests.size >= most && oldest !== undefined) this.#digests.delete(oldest)
    this.#digests.add(sha256)
    resolve(crashed)
    return sha256
  }

  /** Refuses an image that was added before. Costs nothing until there is one. */
  refuses({ question, resolve }: Entry): boolean {
    if (this.#digests.size === 0 || !this.#digests.has(digestOf(question))) return false
    resolve({ ...crashed, verdict: { ...crashed.verdict, isKnown: true } })
    return true
  }
}

const digestOf = ({ bytes }: Question): string => createHash('sha256').update(bytes).digest('hex')

/** What is said of such an image. */
const crashed = {
  verdict: {
    code: 'ENGINE_CRASHED',
    detail: 'Cannot predict: the inference process ended twice over this image'
  },
  seen: null,
  batch: 1,
  queueMs: 0,
  since: 0
} as const satisfies Served
