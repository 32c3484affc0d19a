/**
 * PNG to pixels by zlib and the filters of the format: for small images libvips spends twenty times
 * as long on preparations. What is not an 8-bit grey or RGB image without extras (interlacing,
 * palettes, colour profiles, transparent colours), and every file with a fault, is left to `decode.ts`.
 *
 * Sections are those of ISO/IEC 15948 (PNG, third edition).
 */
import { crc32, inflateSync } from 'node:zlib'
import { directPixels, luma, onWhite, type Raster } from './raster.ts'
import { canvas } from './resample.ts'

/** Samples a pixel, by colour type (11.2.1). */
const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 4: 2, 6: 4 }
/** Chunks that change what the samples mean. */
const extras = ['iCCP', 'cICP', 'eXIf', 'tRNS', 'acTL']

interface Header {
  readonly width: number
  readonly height: number
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
  readonly samples: number
}

/**
 * Decodes a PNG of up to a million pixels, alpha flattened on white.
 *
 * The pixels lie on the canvas of `resample.ts`: they are the caller's until it waits for anything.
 *
 * @returns null for a file that must go the long way, such as a damaged one.
 */
export function readPng(bytes: Uint8Array, channels: 1 | 3): Raster | null {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const found = plainChunks(file)
  if (!found) return null
  const { width, height, samples } = found.header
  const rowBytes = width * samples
  const filtered = inflated(found.data, (rowBytes + 1) * height)
  if (!filtered || !unfilter(filtered, { rowBytes, height, samples })) return null
  const pixels = canvas(width * height * channels)
  for (let y = 0; y < height; y++) {
    const row = filtered.subarray(y * (rowBytes + 1) + 1, (y + 1) * (rowBytes + 1))
    convertRow(row, samples, pixels.subarray(y * width * channels, (y + 1) * width * channels))
  }
  return { width, height, channels, pixels }
}

/** Header and compressed data, if the chunks (5.3) are whole and the image is plain. */
function plainChunks(file: Buffer): { header: Header; data: Buffer } | null {
  let header: Header | null = null
  const data: Buffer[] = []
  for (let at = 8; at + 12 <= file.length; ) {
    const end = at + 12 + file.readUInt32BE(at)
    if (end > file.length) return null
    const type = file.toString('latin1', at + 4, at + 8)
    if (crc32(file.subarray(at + 4, end - 4)) !== file.readUInt32BE(end - 4)) return null
    if (type === 'IEND') return header && { header, data: Buffer.concat(data) }
    if (type === 'IHDR' && at === 8 && end === 33) header = plainHeader(file, at + 8)
    else if (type === 'IDAT') data.push(file.subarray(at + 8, end - 4))
    // An upper-case first letter: a critical chunk, and none that is known here (5.4).
    else if (type < 'a' || extras.includes(type)) return null
    if (!header) return null
    at = end
  }
  return null
}

function plainHeader(file: Buffer, at: number): Header | null {
  const [width, height] = [file.readUInt32BE(at), file.readUInt32BE(at + 4)]
  const [depth, colour = 0, compression, filter, interlace] = file.subarray(at + 8, at + 13)
  const samples = samplesOf[colour]
  const isPlain = depth === 8 && compression === 0 && filter === 0 && interlace === 0
  const pixels = width * height
  return samples && isPlain && pixels > 0 && pixels <= directPixels
    ? { width, height, samples }
    : null
}

function inflated(data: Buffer, length: number): Buffer | null {
  try {
    const bytes = inflateSync(data, { maxOutputLength: length, chunkSize: Math.max(64, length) })
    return bytes.length === length ? bytes : null
  } catch {
    return null
  }
}

interface Rows {
  readonly rowBytes: number
  readonly height: number
  readonly samples: number
}

/** Undoes the filters (9.2) in place; false for a filter that does not exist. */
function unfilter(bytes: Uint8Array, { rowBytes, height, samples }: Rows): boolean {
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1
    const filter = bytes[start - 1] ?? 0
    if (filter > 4) return false
    if (filter === 0) continue
    for (let i = start; i < start + rowBytes; i++) {
      const left = i - samples < start ? 0 : (bytes[i - samples] ?? 0)
      const up = y === 0 ? 0 : (bytes[i - rowBytes - 1] ?? 0)
      const corner = i - samples < start || y === 0 ? 0 : (bytes[i - rowBytes - 1 - samples] ?? 0)
      bytes[i] = (bytes[i] ?? 0) + predicted(filter, left, up, corner)
    }
  }
  return true
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  return paeth(left, up, corner)
}

/** Of left, up and corner the one nearest to left + up - corner (9.4). */
function paeth(left: number, up: number, corner: number): number {
  const byLeft = Math.abs(up - corner)
  const byUp = Math.abs(left - corner)
  const byCorner = Math.abs(left + up - 2 * corner)
  if (byLeft <= byUp && byLeft <= byCorner) return left
  return byUp <= byCorner ? up : corner
}

/** One row of `samples` a pixel to grey or RGB. */
function convertRow(row: Uint8Array, samples: number, out: Uint8Array): void {
  const width = row.length / samples
  const channels = out.length / width
  if (channels === samples) {
    out.set(row)
    return
  }
  const isGrey = samples < 3
  const hasAlpha = samples % 2 === 0
  for (let x = 0; x < width; x++) {
    const at = x * samples
    const alpha = hasAlpha ? (row[at + samples - 1] ?? 0) : 255
    const red = onWhite(row[at] ?? 0, alpha)
    const green = isGrey ? red : onWhite(row[at + 1] ?? 0, alpha)
    const blue = isGrey ? red : onWhite(row[at + 2] ?? 0, alpha)
    if (channels === 1) out[x] = luma(red, green, blue)
    else {
      out[x * 3] = red
      out[x * 3 + 1] = green
      out[x * 3 + 2] = blue
    }
  }
}
