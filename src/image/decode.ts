/**
 * Encoded bytes to an 8-bit sRGB (or grey) pipeline, whatever was inside: the only file that opens
 * hostile pixels, and the only one that names sharp's options.
 *
 * libvips is told to forget every loader but four, because its TIFF, VIPS and HEIF loaders are where
 * its advisories were (GHSA-f88m-g3jw-g9cj). The caller decides in which process this runs: the api
 * itself never decodes.
 */
import sharp, { type Sharp, type SharpOptions } from 'sharp'
import { ServiceError } from '../errors.ts'
import { describeBytes, type ImageFormat, sniffImage, supportedImages } from './sniff.ts'

/** An image with more pixels than this is refused before it is decoded. */
const maxPixels = 50_000_000
/** The longest side that JPEG knows. Thinner and longer ones overflow libvips' affine transform. */
const maxSide = 65_535
/** Decoding one image is given up after so many seconds. */
const decodeSeconds = 20

sharp.cache(false)
// One thread an image: images run side by side on libuv's pool, which is how packs are built.
sharp.concurrency(1)
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadJpegBuffer',
    'VipsForeignLoadPngBuffer',
    'VipsForeignLoadWebpBuffer',
    'VipsForeignLoadNsgifBuffer'
  ]
})

const options: SharpOptions = {
  failOn: 'error',
  limitInputPixels: maxPixels,
  page: 0,
  pages: 1,
  // EXIF orientation is undone here, so that width, height and pixels are those that people see.
  autoOrient: true
}

export interface ImageHeader {
  readonly format: ImageFormat
  /** Sides in pixels after EXIF orientation. */
  readonly width: number
  readonly height: number
  /** Whether the file itself has no colour (grey, with or without alpha). */
  readonly greyFile: boolean
}

/**
 * Opens encoded bytes as a sharp pipeline: first frame, upright.
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED when the bytes are none of the four formats.
 */
export function openImage(bytes: Uint8Array): Sharp {
  requireFormat(bytes)
  return sharp(bytes, options).timeout({ seconds: decodeSeconds })
}

/**
 * Reads the header only: format, sides, whether the file is grey.
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED, IMAGE_TRUNCATED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE.
 */
export async function readHeader(bytes: Uint8Array): Promise<ImageHeader> {
  const format = requireFormat(bytes)
  try {
    // Without the pixel limit, so that the refusal below can say how large the image is.
    const meta = await sharp(bytes, { ...options, limitInputPixels: false }).metadata()
    const { width, height } = meta.autoOrient
    if (width * height > maxPixels || Math.max(width, height) > maxSide)
      throw tooLarge(width, height)
    return { format, width, height, greyFile: meta.space === 'b-w' || meta.space === 'grey16' }
  } catch (error) {
    throw await asImageError(error, bytes)
  }
}

/** Turns what sharp threw over `bytes` into the ServiceError that says what was received. */
export async function asImageError(error: unknown, bytes: Uint8Array): Promise<ServiceError> {
  if (error instanceof ServiceError) return error
  const message = error instanceof Error ? error.message.replace(/\s+/g, ' ').trim() : String(error)
  const what = describeBytes(bytes)
  if (/exceeds pixel limit/.test(message)) {
    const meta = await sharp(bytes, { ...options, limitInputPixels: false }).metadata()
    return tooLarge(meta.width, meta.height)
  }
  if (endsEarly(bytes, message)) {
    return new ServiceError('IMAGE_TRUNCATED', {
      detail: `Cannot decode the image: it ends too early, received ${what} of ${bytes.length} bytes`,
      cause: error
    })
  }
  return new ServiceError('IMAGE_UNREADABLE', {
    detail: `Cannot decode the image: ${message}, received ${what} of ${bytes.length} bytes`,
    cause: error
  })
}

function requireFormat(bytes: Uint8Array): ImageFormat {
  const format = sniffImage(bytes)
  if (format !== null) return format
  throw new ServiceError('IMAGE_FORMAT_UNSUPPORTED', {
    detail: `Cannot read the image: it must be ${supportedImages}, received ${describeBytes(bytes)}`
  })
}

const tooLarge = (width: number, height: number) =>
  new ServiceError('IMAGE_TOO_LARGE', {
    detail:
      `Cannot decode the image: at most ${maxPixels} pixels and sides of ${maxSide} are allowed, ` +
      `received ${width}x${height} = ${width * height}`
  })

/**
 * Whether the bytes stop before the format's own end. libpng and libwebp report a short file and a
 * damaged one alike, so their containers are walked here.
 */
function endsEarly(bytes: Uint8Array, message: string): boolean {
  const format = sniffImage(bytes)
  if (format === 'png') return pngEndsEarly(bytes)
  if (format === 'webp')
    return bytes.length < 12 || view(bytes).getUint32(4, true) + 8 > bytes.length
  return /premature end|unexpected end/i.test(message)
}

/** PNG (ISO/IEC 15948, 5.3): length, type, data, CRC; the last chunk is IEND. */
function pngEndsEarly(bytes: Uint8Array): boolean {
  const data = view(bytes)
  const iend = 0x49454e44
  for (let at = 8; at + 12 <= bytes.length; at += 12 + data.getUint32(at)) {
    if (data.getUint32(at + 4) === iend) return false
  }
  return true
}

const view = (b: Uint8Array) => new DataView(b.buffer, b.byteOffset, b.byteLength)
