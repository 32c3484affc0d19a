/** Encoded images that no encoder writes: PNG chunk by chunk, and other formats' first bytes. */
import { crc32, deflateSync } from 'node:zlib'

const pngSignature = Buffer.from('89504e470d0a1a0a', 'hex')

/** One chunk of a PNG (ISO/IEC 15948, 5.3): length, type, data, CRC. */
export function pngChunk(type: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const chunk = Buffer.alloc(body.length + 8)
  chunk.writeUInt32BE(data.length)
  chunk.set(body, 4)
  chunk.writeUInt32BE(crc32(body), body.length + 4)
  return chunk
}

export interface PngHeader {
  readonly width: number
  readonly height: number
  /** Bits a sample and colour type, by default 8 and 0: grey. */
  readonly depth?: number
  readonly colour?: number
}

/** A PNG whose header claims what it likes, above the chunks that are given. */
export function pngOf(header: PngHeader, ...chunks: readonly Buffer[]): Buffer {
  const { width, height, depth = 8, colour = 0 } = header
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width)
  data.writeUInt32BE(height, 4)
  data.set([depth, colour], 8)
  return Buffer.concat([pngSignature, pngChunk('IHDR', data), ...chunks, pngChunk('IEND')])
}

export const pngPixels = (bytes: Uint8Array): Buffer => pngChunk('IDAT', deflateSync(bytes))

/** A GIF with one frame that has hardly any data (GIF89a, 17 to 22): its header claims the sides. */
export function gifOf(width: number, height: number): Buffer {
  const sides = Buffer.alloc(4)
  sides.writeUInt16LE(width)
  sides.writeUInt16LE(height, 2)
  const frame = Buffer.from('2c00000000', 'hex')
  const data = Buffer.from('0002024c01003b', 'hex')
  return Buffer.concat([Buffer.from('GIF89a'), sides, Buffer.alloc(3), frame, sides, data])
}

/** A JPEG's frame and scan header (ITU T.81, B.2.2 and B.2.3) and no data: one 8-bit component. */
export function jpegOf(width: number, height: number): Buffer {
  const frame = Buffer.from('ffd8ffc0000b080000000001011100ffda0008010100003f00ffd9', 'hex')
  frame.writeUInt16BE(height, 7)
  frame.writeUInt16BE(width, 9)
  return frame
}
