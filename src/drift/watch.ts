/**
 * Watches what one file is asked: two halves of a window, a reference, and which aspects drift.
 *
 * Images are counted into the newer half; when it is full it becomes the older one, and that is forgotten.
 * So between half a window and a whole one of the newest images is judged, in bounded memory. An aspect
 * trips above its threshold and clears below half of it, so that it does not flap at the boundary.
 */
import type { DriftEvent } from '../contract/drift.ts'
import type { DriftAspect, Seen, Sketch } from '../contract/sketch.ts'
import { type Comparison, compare } from './compare.ts'
import { addImage, emptySketch, joined } from './sketch.ts'

/** Everything that must outlive a restart. */
export interface WatchState {
  /** All that were counted. */
  readonly served: number
  /** Unix time in milliseconds of the newest image; when the watch was begun, before there is one. */
  readonly newestAt: number
  /** The first images that were served, where there is no other reference. */
  readonly baseline: Sketch | null
  readonly older: Sketch
  readonly newer: Sketch
  /** Since when each aspect drifts that does. */
  readonly drifting: Readonly<Partial<Record<DriftAspect, string>>>
}

export type Change = Omit<DriftEvent, 'version' | 'variant'>

export interface WatchOptions {
  readonly labels: readonly string[]
  readonly channels: number
  /** Of the validation split; null where there is none, or one of too few images. */
  readonly reference: Sketch | null
  /** Images that are judged, at most. */
  readonly window: number
}

export interface Judgement {
  readonly source: 'training' | 'first-served'
  readonly reference: Sketch
  /** Whether the reference has all its images. */
  readonly complete: boolean
  /** The newest images, which are judged. */
  readonly images: number
  /** Empty while there are too few images on either side. */
  readonly comparisons: readonly Comparison[]
}

/** With fewer images on either side nothing is judged: tens of them say too little of ten cells. */
const leastServed = 200
const leastReference = 100
/** Images of a baseline. */
const baselineImages = 1000

export class Watch {
  readonly #options: WatchOptions
  #state: { -readonly [K in keyof WatchState]: WatchState[K] }

  constructor(options: WatchOptions, kept: WatchState | null, now: Date) {
    this.#options = options
    const empty = () => emptySketch(options.labels.length, options.channels)
    const isUsable = kept !== null && (kept.baseline === null) === (options.reference !== null)
    this.#state = isUsable
      ? kept
      : {
          served: 0,
          newestAt: now.getTime(),
          baseline: options.reference === null ? empty() : null,
          older: empty(),
          newer: empty(),
          drifting: {}
        }
  }

  get state(): WatchState {
    return this.#state
  }

  /** Counts an image; the answer is what it changed, which is seldom anything. */
  add(seen: Seen, now: Date): readonly Change[] {
    const state = this.#state
    state.served += 1
    state.newestAt = now.getTime()
    if (state.baseline !== null && state.baseline.images < baselineImages) {
      addImage(state.baseline, seen)
      return []
    }
    addImage(state.newer, seen)
    if (state.newer.images < this.#options.window / 2) return []
    const changes = this.look(now)
    state.older = state.newer
    state.newer = emptySketch(this.#options.labels.length, this.#options.channels)
    return changes
  }

  /** Judges the newest images. */
  look(now: Date): readonly Change[] {
    const { images, comparisons } = judge(this.#state, this.#options)
    const drifting = { ...this.#state.drifting }
    const changes = comparisons.flatMap(({ aspect, score, threshold }): Change[] => {
      const change = { at: now.toISOString(), aspect, score, threshold, images }
      if (drifting[aspect] === undefined && score > threshold) {
        drifting[aspect] = change.at
        return [{ ...change, event: 'tripped' }]
      }
      if (drifting[aspect] !== undefined && score < threshold / 2) {
        delete drifting[aspect]
        return [{ ...change, event: 'cleared' }]
      }
      return []
    })
    this.#state.drifting = drifting
    return changes
  }
}

/** Null where a sketch has so few images that it would be chance itself. */
export const usableReference = (reference: Sketch | null): Sketch | null =>
  reference !== null && reference.images >= leastReference ? reference : null

export function judge(
  { baseline, older, newer }: Pick<WatchState, 'baseline' | 'older' | 'newer'>,
  { reference, labels }: Pick<WatchOptions, 'reference' | 'labels'>
): Judgement {
  const against = reference ?? baseline
  if (against === null) throw new Error('Cannot judge: there is no reference')
  const served = joined(older, newer)
  const complete = reference !== null || against.images >= baselineImages
  const isEnough = complete && served.images >= leastServed
  return {
    source: reference === null ? 'first-served' : 'training',
    reference: against,
    complete,
    images: served.images,
    comparisons: isEnough ? compare(against, served, labels) : []
  }
}
