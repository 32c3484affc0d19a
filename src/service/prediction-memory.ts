/**
 * Remembers what was predicted, so that feedback can name it: collected in memory, written once a second.
 *
 * A killed api forgets the last second. While the catalogue cannot be written, the newest are kept.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import { newId } from '../catalog/id.ts'
import type { Catalog } from '../catalog/open.ts'
import {
  forgetPredictions,
  type RememberedImage,
  storePredictions
} from '../catalog/predictions.ts'
import { unflushed } from '../catalog/unflushed.ts'
import type { VariantName } from '../contract/report.ts'
import type { Seen } from '../contract/sketch.ts'
import type { KeptImage, KeptImages } from './kept-images.ts'

export interface PredictionMemoryOptions {
  readonly db: Catalog
  /** Days that a prediction is remembered for; 0 for none at all. */
  readonly days: number
  /** Images that are remembered, at most. */
  readonly images: number
  /** Where their bytes are kept, if they are. */
  readonly kept?: Pick<KeptImages, 'keep' | 'store' | 'find' | 'forget'>
}

interface Answering {
  readonly model: string
  readonly version: number
  readonly variant: VariantName
  readonly labels: readonly string[]
}

/** Images that wait to be written, at most. */
const mostWaiting = 20_000
/** Written at once: a millisecond or two during which nothing else is answered. */
const rowsAtOnce = 200
const dayMs = 86_400_000

export class PredictionMemory {
  readonly #options: PredictionMemoryOptions
  #waiting: RememberedImage[] = []
  #storing: Promise<void> = Promise.resolve()

  constructor(options: PredictionMemoryOptions) {
    this.#options = options
  }

  /** Whether predictions are remembered, and so their images' digests are worth taking. */
  get isOn(): boolean {
    return this.#options.days > 0 && this.#options.images > 0
  }

  /** For whoever names a prediction that is not remembered. */
  get rule(): string {
    const { days, images } = this.#options
    if (!this.isOn) return 'predictions are not remembered here'
    return `predictions are remembered for ${days} days, the newest ${images} images of them`
  }

  /**
   * Remembers the images of a request that were answered. Returns the id of the prediction.
   *
   * @param sent what was sent of each, where it was asked for its digest
   */
  remember(
    answering: Answering,
    seen: readonly (Seen | null)[],
    sent: readonly unknown[] = []
  ): string {
    const id = newId('pred')
    if (!this.isOn) return id
    const { model, version, variant, labels } = answering
    const at = new Date().toISOString()
    for (const [index, one] of seen.entries()) {
      if (one === null) continue
      const { predicted: best, score, sha256 } = one
      const predicted = labels[best] ?? String(best)
      const bytes = sent[index]
      const isKept = sha256 !== null && bytes instanceof Uint8Array
      if (isKept) this.#options.kept?.keep(sha256, bytes)
      this.#waiting.push({ id, index, model, version, variant, predicted, score, sha256, at })
    }
    const surplus = this.#waiting.length - mostWaiting
    if (surplus > 0) this.#waiting.splice(0, surplus)
    return id
  }

  /** The encoded image of a digest, where such are kept. */
  async keptImage(sha256: string): Promise<KeptImage | null> {
    await this.store()
    return (await this.#options.kept?.find(sha256)) ?? null
  }

  /** Writes what waits. */
  store(): Promise<void> {
    this.#storing = this.#storing.catch(() => {}).then(() => this.#store())
    return this.#storing
  }

  /** Forgets what is too old or too much. */
  async forget(now = new Date()): Promise<void> {
    const before = new Date(now.getTime() - this.#options.days * dayMs)
    await forgetPredictions(this.#options.db, { before, most: this.#options.images })
    await this.#options.kept?.forget(before)
  }

  async #store(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, rowsAtOnce)
      try {
        await unflushed(this.#options.db, (db) => storePredictions(db, batch))
        // Whoever has asked meanwhile goes first: SQLite itself leaves no room for anybody.
        await immediate()
      } catch (error) {
        this.#waiting.unshift(...batch)
        throw error
      }
    }
    await this.#options.kept?.store()
  }
}
