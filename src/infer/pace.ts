/** How fast a model's engines have answered lately: what its line is estimated and its batches are measured by. */
import type { BatchTimes } from './statistics.ts'

export class Pace {
  #perSecond = 0
  #imageMs = 0

  /** Images that one engine serves per second, the way to it included; 0 when unknown. */
  get perSecond(): number {
    return this.#perSecond
  }

  /** What an image takes in an engine; 0 when unknown. */
  get imageMs(): number {
    return this.#imageMs
  }

  batchDone(images: number, tookMs: number, { inputMs, inferMs, outputMs }: BatchTimes): void {
    this.#perSecond = averaged(this.#perSecond, (1000 * images) / Math.max(0.01, tookMs))
    this.#imageMs = averaged(this.#imageMs, (inputMs + inferMs + outputMs) / images)
  }
}

/** An exponential moving average, begun with the first value. */
const averaged = (before: number, now: number): number =>
  before === 0 ? now : 0.9 * before + 0.1 * now
