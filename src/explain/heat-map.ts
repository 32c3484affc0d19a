/** A map of values as it is told and shown: normalised, and laid over the image that it explains. */
import sharp from 'sharp'
import type { HeatMap } from '../contract/explanation.ts'

/** Decimals that are told: far finer than any picture, and a third of the text. */
const decimals = 1e6
/** Side of an overlay, at least, in pixels: inputs of networks are hard to see. */
const leastSide = 224
/** Of the colour, where the map is 1. */
const opacity = 0.7

/** Values 0..1: negative ones are 0, the largest is 1. All 0 where none is positive. */
export function normalized(raw: HeatMap): HeatMap {
  const most = Math.max(0, ...raw.flat())
  return raw.map((row) => row.map((value) => (most > 0 ? Math.max(0, value) / most : 0)))
}

export const rounded = (map: HeatMap): HeatMap =>
  map.map((row) => row.map((value) => Math.round(value * decimals) / decimals))

export interface Picture {
  /** uint8 [size, size, channels]. */
  readonly pixels: Uint8Array
  readonly size: number
  readonly channels: number
}

/** PNG of the picture in grey, coloured from red to yellow by a map of any shape with values 0..1. */
export async function overlay({ pixels, size, channels }: Picture, map: HeatMap): Promise<Buffer> {
  const rgb = new Uint8Array(size * size * 3)
  for (let at = 0; at < size * size; at++) {
    const value = interpolated(map, Math.floor(at / size) / size, (at % size) / size, 1 / size)
    const own = pixels.subarray(at * channels, (at + 1) * channels)
    const grey = own.reduce((sum, level) => sum + level, 0) / channels
    const colour = [255, 255 * Math.max(0, 2 * value - 1), 0]
    const weight = opacity * value
    for (const [c, level] of colour.entries()) {
      rgb[at * 3 + c] = Math.round((1 - weight) * grey + weight * level)
    }
  }
  const side = size * Math.max(1, Math.ceil(leastSide / size))
  return sharp(rgb, { raw: { width: size, height: size, channels: 3 } })
    .resize(side, side, { kernel: 'nearest' })
    .png()
    .toBuffer()
}

/** Bilinear, at the middle of the pixel whose corner is [y, x] (0..1); centres of cells keep their values. */
function interpolated(map: HeatMap, y: number, x: number, pixel: number): number {
  const rows = map.length
  const columns = map[0]?.length ?? 0
  const [y0, y1, v] = neighbours((y + pixel / 2) * rows - 0.5, rows)
  const [x0, x1, u] = neighbours((x + pixel / 2) * columns - 0.5, columns)
  const at = (row: number, column: number): number => map[row]?.[column] ?? 0
  const above = at(y0, x0) * (1 - u) + at(y0, x1) * u
  const below = at(y1, x0) * (1 - u) + at(y1, x1) * u
  return above * (1 - v) + below * v
}

function neighbours(position: number, count: number): readonly [number, number, number] {
  const inside = Math.min(count - 1, Math.max(0, position))
  const low = Math.floor(inside)
  return [low, Math.min(count - 1, low + 1), inside - low]
}
