/**
 * Pixels to a network's input: the only resampling there is, for packs and for serving.
 *
 * Separable: rows are mixed, then pixels along rows, or the other way round when that makes the
 * smaller intermediate; each pass rounds to 8 bits. Resampled as they are, gamma-encoded.
 * The loops are WebAssembly (`wasm/resample.ts`), so the result is the same to the last bit everywhere.
 */
import { readFileSync } from 'node:fs'
import type { Raster } from './raster.ts'
import type { InputShape, ResizeMode } from './shape.ts'
import { type Span, type Taps, tapsOf } from './taps.ts'

type Mix = (
  from: number,
  stride: number,
  length: number,
  to: number,
  toStride: number,
  count: number,
  starts: number,
  weights: number,
  taps: number
) => void
interface Kernels {
  readonly mixRows: Mix
  readonly mixRgb: Mix
  readonly mixGrey: Mix
}

const memory = new WebAssembly.Memory({ initial: 1 })
const code = readFileSync(new URL('./wasm/resample.wasm', import.meta.url))
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } })
const kernels = exports as unknown as Kernels

const pageBytes = 65_536
/** Where the source's pixels begin in the memory. */
const canvasAt = 64
const aligned = (bytes: number): number => (bytes + 63) & ~63

function reserve(bytes: number): void {
  const missing = bytes - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
}

/** `length` bytes for the pixels of the next image to be resampled, which so need no copy. Not zeroed. */
export function canvas(length: number): Buffer {
  reserve(canvasAt + length)
  return Buffer.from(memory.buffer, canvasAt, length)
}

/** Resamples to uint8 [size, size, channels]; the shape's channels must be the raster's. */
export function resample(source: Raster, { size, resize }: InputShape): Uint8Array {
  const { width, height, channels } = source
  const { shown, placed } = windows[resize](width, height, size)
  const across = { size: width, from: shown.x, length: shown.width, count: placed.width }
  const down = { size: height, from: shown.y, length: shown.height, count: placed.height }
  const pixels = mix(source, across, down)
  if (placed.width === size && placed.height === size) return pixels
  const out = new Uint8Array(size * size * channels)
  const [left, top] = [(size - placed.width) >> 1, (size - placed.height) >> 1]
  const rowBytes = placed.width * channels
  for (let y = 0; y < placed.height; y++) {
    const row = pixels.subarray(y * rowBytes, (y + 1) * rowBytes)
    out.set(row, ((top + y) * size + left) * channels)
  }
  return out
}

interface Windows {
  /** The part of the source, in its pixels. */
  readonly shown: { x: number; y: number; width: number; height: number }
  /** The sides that it gets in the result. */
  readonly placed: { width: number; height: number }
}

const windows: Readonly<Record<ResizeMode, (w: number, h: number, size: number) => Windows>> = {
  stretch: (width, height, size) => ({
    shown: { x: 0, y: 0, width, height },
    placed: { width: size, height: size }
  }),
  cover(width, height, size) {
    const side = Math.min(width, height)
    const shown = { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side }
    return { shown, placed: { width: size, height: size } }
  },
  contain(width, height, size) {
    const scale = size / Math.max(width, height)
    const side = (length: number) => Math.max(1, Math.round(length * scale))
    const placed = { width: side(width), height: side(height) }
    return { shown: { x: 0, y: 0, width, height }, placed }
  }
}

function mix(source: Raster, across: Span, down: Span): Uint8Array {
  const { width, height, channels } = source
  const rows = cachedTaps(down, 2)
  const columns = cachedTaps(across, channels === 1 ? 8 : 4)
  const rowsFirst = down.count * width <= height * across.count
  const stride = width * channels
  const outStride = across.count * channels
  const midStride = aligned((rowsFirst ? width : across.count) * channels)
  const midRows = rowsFirst ? down.count : height
  // What is read: rows of weight zero past a source of few rows, and what a load of 16 bytes takes too much.
  const slack = 16 * columns.taps + 64
  const mid = aligned(canvasAt + stride * Math.max(height, rows.taps) + slack)
  const out = aligned(mid + midStride * Math.max(midRows, rows.taps) + slack)
  const rowTable = aligned(out + aligned(outStride) * down.count + 16)
  const columnTable = aligned(rowTable + tableBytes(rows))
  // Growing the memory detaches views of it, so this is asked first.
  const isOnCanvas = source.pixels.buffer === memory.buffer
  reserve(columnTable + tableBytes(columns))
  if (!isOnCanvas) canvas(source.pixels.length).set(source.pixels)
  const rowArgs = writeTable(rows, rowTable)
  const columnArgs = writeTable(columns, columnTable)
  const mixPixels = channels === 1 ? kernels.mixGrey : kernels.mixRgb
  if (rowsFirst) {
    kernels.mixRows(canvasAt, stride, stride, mid, midStride, down.count, ...rowArgs)
    mixPixels(mid, midStride, down.count, out, outStride, across.count, ...columnArgs)
    return new Uint8Array(memory.buffer, out, outStride * down.count).slice()
  }
  mixPixels(canvasAt, stride, height, mid, midStride, across.count, ...columnArgs)
  kernels.mixRows(mid, midStride, outStride, out, aligned(outStride), down.count, ...rowArgs)
  return withoutGaps(new Uint8Array(memory.buffer, out), outStride, down.count)
}

function withoutGaps(rows: Uint8Array, rowBytes: number, count: number): Uint8Array {
  const pixels = new Uint8Array(rowBytes * count)
  for (let y = 0; y < count; y++) {
    const at = y * aligned(rowBytes)
    pixels.set(rows.subarray(at, at + rowBytes), y * rowBytes)
  }
  return pixels
}

const tableBytes = ({ starts, weights }: Taps): number =>
  aligned(starts.byteLength) + weights.byteLength

function writeTable(table: Taps, at: number): [starts: number, weights: number, taps: number] {
  const { starts, weights, taps } = table
  const weightsAt = at + aligned(starts.byteLength)
  new Int32Array(memory.buffer, at, starts.length).set(starts)
  new Int16Array(memory.buffer, weightsAt, weights.length).set(weights)
  return [at, weightsAt, taps]
}

/** Images of a service come in few sizes; their weights cost more than their use. */
const cache = new Map<string, Taps>()

function cachedTaps(span: Span, multiple: number): Taps {
  const key = [span.size, span.from, span.length, span.count, multiple].join()
  const known = cache.get(key)
  if (known) return known
  if (cache.size >= 64) cache.clear()
  const taps = tapsOf(span, multiple)
  cache.set(key, taps)
  return taps
}
