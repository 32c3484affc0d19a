/**
 * JPEG to pixels by libjpeg-turbo: four times as fast as by libvips, for the files that need nothing
 * but the decoder. Whatever else a file asks for (a colour profile, an orientation, CMYK), and every
 * file that libjpeg-turbo objects to, is left to `decode.ts`.
 */
import turbo from '@julusian/jpeg-turbo'
import { directPixels, type Raster } from './raster.ts'
import { canvas } from './resample.ts'

/** The frame header of a JPEG (ITU T.81, B.2.2), if no segment before its scan asks for more than decoding. */
interface Frame {
  readonly width: number
  readonly height: number
}

/**
 * Decodes a JPEG of up to a million pixels: its luma where one channel is wanted.
 *
 * The pixels lie on the canvas of `resample.ts`: they are the caller's until it waits for anything.
 *
 * @returns null for a file that must go the long way, such as a damaged one.
 */
export function readJpeg(bytes: Uint8Array, channels: 1 | 3): Raster | null {
  const frame = plainFrame(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  if (!frame || frame.width * frame.height > directPixels) return null
  const { width, height } = frame
  const pixels = canvas(width * height * channels)
  const format = channels === 1 ? turbo.FORMAT_GRAY : turbo.FORMAT_RGB
  try {
    const read = turbo.decompressSync(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      pixels,
      {
        format
      }
    )
    return read.width === width && read.height === height
      ? { width, height, channels, pixels }
      : null
  } catch {
    // Warnings are errors to this binding; libvips decides about such a file, and says what is wrong.
    return null
  }
}

const [startOfScan, exif, iccProfile] = [0xda, 0xe1, 0xe2]
/** Baseline, extended sequential, progressive: Huffman-coded frames. */
const frames = [0xc0, 0xc1, 0xc2]

function plainFrame(data: DataView): Frame | null {
  let frame: Frame | null = null
  for (let at = 2; at + 4 <= data.byteLength; ) {
    const marker = data.getUint8(at + 1)
    if (data.getUint8(at) !== 0xff || marker === 0xff) return null
    if (marker === startOfScan) return frame
    const length = data.getUint16(at + 2)
    const end = at + 2 + length
    if (length < 2 || end > data.byteLength) return null
    if (frames.includes(marker)) frame = plainHeader(data, at + 4, length - 2)
    else if (marker === iccProfile && isNamed(data, at + 4, end, 'ICC_PROFILE')) return null
    else if (
      marker === exif &&
      isNamed(data, at + 4, end, 'Exif') &&
      !isUpright(data, at + 10, end)
    )
      return null
    at = end
  }
  return null
}

/** Eight bits, grey or three components. */
function plainHeader(data: DataView, at: number, length: number): Frame | null {
  if (length < 6 || data.getUint8(at) !== 8 || ![1, 3].includes(data.getUint8(at + 5))) return null
  const [height, width] = [data.getUint16(at + 1), data.getUint16(at + 3)]
  return width > 0 && height > 0 ? { width, height } : null
}

function isNamed(data: DataView, at: number, end: number, name: string): boolean {
  return (
    at + name.length <= end &&
    [...name].every((letter, i) => data.getUint8(at + i) === letter.charCodeAt(0))
  )
}

/** Whether the orientation (Exif 3.0, 4.6.5.1.6: tag 274 of the first directory) is missing or 1. */
function isUpright(data: DataView, tiff: number, end: number): boolean {
  if (tiff + 8 > end) return false
  const little = data.getUint16(tiff) === 0x4949
  const directory = tiff + data.getUint32(tiff + 4, little)
  if (directory + 2 > end) return false
  const entries = data.getUint16(directory, little)
  if (directory + 2 + entries * 12 > end) return false
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + i * 12
    if (data.getUint16(entry, little) === 274) return data.getUint16(entry + 8, little) === 1
  }
  return true
}
