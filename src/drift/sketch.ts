/** Counts images into a sketch: one addition an aspect, so that it costs a served image nothing. */
import {
  type DriftAspect,
  driftAspects,
  type Seen,
  type Sketch,
  sketchBins
} from '../contract/sketch.ts'

const zeros = (n: number): number[] => new Array<number>(n).fill(0)

export function emptySketch(classes: number, channels: number): Sketch {
  const grey = {
    images: 0,
    classes: zeros(classes),
    confidence: zeros(sketchBins),
    brightness: zeros(sketchBins),
    contrast: zeros(sketchBins)
  }
  if (channels === 1) return grey
  return { ...grey, red: zeros(sketchBins), green: zeros(sketchBins), blue: zeros(sketchBins) }
}

export function addImage(sketch: Sketch, seen: Omit<Seen, 'sha256'>): void {
  sketch.images += 1
  count(sketch.classes, seen.predicted)
  count(sketch.confidence, confidenceBin(seen.score))
  count(sketch.brightness, seen.brightness / 4)
  count(sketch.contrast, seen.contrast / 2)
  const [red, green, blue] = seen.channels
  if (red !== undefined) count(sketch.red, red / 4)
  if (green !== undefined) count(sketch.green, green / 4)
  if (blue !== undefined) count(sketch.blue, blue / 4)
}

/** The images of both. They must be of the same classes and channels. */
export function joined(one: Sketch, other: Sketch): Sketch {
  const sum = { ...one, images: one.images + other.images }
  for (const aspect of driftAspects) {
    const [a, b] = [one[aspect], other[aspect]]
    if (a !== undefined && b !== undefined) sum[aspect] = a.map((n, i) => n + (b[i] ?? 0))
  }
  return sum
}

/**
 * Where a bin of a histogram begins, in the units of the aspect.
 *
 * Scores crowd just below 1, so their bins are a quarter of a halving of 1 - score wide.
 */
export function binStart(aspect: Exclude<DriftAspect, 'classes'>, bin: number): number {
  if (aspect === 'confidence') return 1 - 2 ** (-bin / 4)
  return aspect === 'contrast' ? 2 * bin : 4 * bin
}

const confidenceBin = (score: number): number => -4 * Math.log2(Math.max(0, 1 - score))

function count(bins: number[] | undefined, at: number): void {
  if (bins === undefined) return
  // A model may answer NaN; that it does is seen in the first bin.
  const place = Number.isNaN(at) ? 0 : Math.floor(at)
  const bin = Math.min(bins.length - 1, Math.max(0, place))
  bins[bin] = (bins[bin] ?? 0) + 1
}
