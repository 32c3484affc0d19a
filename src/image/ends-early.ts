/**
 * Whether an image file stops before its format's own end, told by walking its container.
 *
 * The decoder's message is no witness: libpng and libwebp report a short file and a damaged one
 * alike, and libvips keeps one message for all threads, so that another image can take it away.
 */
import type { ImageFormat } from './sniff.ts'

/** True when the bytes of a `format` end inside a block, or before the block that ends the file. */
export function endsEarly(bytes: Uint8Array, format: ImageFormat): boolean {
  return walks[format](new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

const walks: Readonly<Record<ImageFormat, (data: DataView) => boolean>> = {
  png: pngEndsEarly,
  jpeg: jpegEndsEarly,
  gif: gifEndsEarly,
  // RIFF: the size of what follows the first eight bytes.
  webp: (data) => data.byteLength < 12 || data.getUint32(4, true) + 8 > data.byteLength
}

/** PNG (ISO/IEC 15948, 5.3): length, type, data, CRC; the last chunk is IEND. */
function pngEndsEarly(data: DataView): boolean {
  const iend = 0x49454e44
  for (let at = 8; at + 12 <= data.byteLength; at += 12 + data.getUint32(at)) {
    if (data.getUint32(at + 4) === iend) return false
  }
  return true
}

/** JPEG (ITU T.81, B.1.1 and B.2.1): marker segments with lengths, entropy-coded data, EOI. */
function jpegEndsEarly(data: DataView): boolean {
  const [fill, startOfScan, endOfImage] = [0xff, 0xda, 0xd9]
  let at = 2
  while (at + 4 <= data.byteLength) {
    if (data.getUint8(at) !== fill) return false
    const marker = data.getUint8(at + 1)
    if (marker === endOfImage) return false
    if (marker === fill) at += 1
    else {
      at += 2 + data.getUint16(at + 2)
      if (marker === startOfScan) at = afterScan(data, at)
    }
  }
  return !(at + 2 === data.byteLength && data.getUint16(at) === 0xffd9)
}

/** Position of the first marker after entropy-coded data, where FF00 is a byte and FFD0 to FFD7 restart. */
function afterScan(data: DataView, from: number): number {
  for (let at = from; at + 1 < data.byteLength; at += 1) {
    if (data.getUint8(at) !== 0xff) continue
    const next = data.getUint8(at + 1)
    if (next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at
  }
  return data.byteLength
}

/** GIF89a (17 to 27): screen, colour table, then extensions and images in sub-blocks, then 3B. */
function gifEndsEarly(data: DataView): boolean {
  const [extension, image, trailer] = [0x21, 0x2c, 0x3b]
  if (data.byteLength < 13) return true
  let at = 13 + colourTable(data.getUint8(10))
  while (at < data.byteLength) {
    const block = data.getUint8(at)
    if (block === trailer) return false
    if (block === extension) at += 2
    else if (block !== image) return false
    else if (at + 10 > data.byteLength) return true
    else at += 11 + colourTable(data.getUint8(at + 9))
    at = afterSubBlocks(data, at)
  }
  return true
}

const colourTable = (flags: number): number =>
  (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1)

function afterSubBlocks(data: DataView, from: number): number {
  let at = from
  while (at < data.byteLength) {
    const length = data.getUint8(at)
    at += 1 + length
    if (length === 0) break
  }
  return at
}
