/**
 * Outcomes and times of the requests of the last seconds, in memory that does not grow with them.
 *
 * The window is a ring of slices, the oldest of which is emptied when time comes round to it, so it is a
 * twelfth shorter just then. Times are counted in buckets, each a twentieth wider than the one before.
 */

export interface RequestOutcome {
  readonly failed: boolean
  /** From its admission to its answer. */
  readonly ms: number
}

export interface WindowFigures {
  readonly requests: number
  readonly failed: number
  /** Of what was answered; null when nothing was. */
  readonly medianMs: number | null
}

interface Slice {
  /** Number of the stretch of time that it counts. */
  stretch: number
  requests: number
  failed: number
  readonly times: Uint32Array
}

const slices = 12
const [leastMs, growth, buckets] = [0.05, 1.05, 320]

export class OutcomeWindow {
  readonly #sliceMs: number
  readonly #now: () => number
  readonly #ring: readonly Slice[]

  /** @param now - milliseconds that never go back */
  constructor(windowMs: number, now: () => number) {
    this.#sliceMs = windowMs / slices
    this.#now = now
    this.#ring = Array.from({ length: slices }, () => ({
      stretch: -1,
      requests: 0,
      failed: 0,
      times: new Uint32Array(buckets)
    }))
  }

  add({ failed, ms }: RequestOutcome): void {
    const slice = this.#current()
    slice.requests += 1
    if (failed) slice.failed += 1
    else slice.times[bucketOf(ms)] = (slice.times[bucketOf(ms)] ?? 0) + 1
  }

  get figures(): WindowFigures {
    const oldest = this.#stretch() - slices
    const recent = this.#ring.filter(({ stretch }) => stretch > oldest)
    const sum = (of: (slice: Slice) => number) => recent.reduce((total, one) => total + of(one), 0)
    const counts = Array.from({ length: buckets }, (_, i) => sum(({ times }) => times[i] ?? 0))
    const failed = sum((slice) => slice.failed)
    return { requests: sum(({ requests }) => requests), failed, medianMs: medianOf(counts) }
  }

  #stretch(): number {
    return Math.floor(this.#now() / this.#sliceMs)
  }

  #current(): Slice {
    const stretch = this.#stretch()
    const slice = this.#ring[stretch % slices] as Slice
    if (slice.stretch !== stretch) {
      slice.stretch = stretch
      slice.requests = 0
      slice.failed = 0
      slice.times.fill(0)
    }
    return slice
  }
}

function bucketOf(ms: number): number {
  const bucket = Math.floor(Math.log(Math.max(ms, leastMs) / leastMs) / Math.log(growth))
  return Math.min(bucket, buckets - 1)
}

function medianOf(counts: readonly number[]): number | null {
  const all = counts.reduce((total, count) => total + count, 0)
  if (all === 0) return null
  let left = all / 2
  const bucket = counts.findIndex((count) => {
    left -= count
    return left <= 0
  })
  return leastMs * growth ** (bucket + 0.5)
}
