/**
 * Encoded bytes to 8-bit sRGB, whatever was inside: the only file that names sharp's options, and
 * the one that says what is wrong with an image.
 *
 * libvips is told to forget every loader but four, because its TIFF, VIPS and HEIF loaders are where
 * its advisories were (GHSA-f88m-g3jw-g9cj). The caller decides in which process this runs: the api
 * itself never decodes.
 */
import sharp, { type SharpOptions } from 'sharp'
import { ServiceError } from '../errors.ts'
import { endsEarly } from './ends-early.ts'
import { directPixels, type Raster } from './raster.ts'
import type { InputShape } from './shape.ts'
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

/** Names everything that decides about pixels; packs built under another name are built anew. */
export const preprocessing = `catmull-rom-1, turbo 3.1.3, libvips ${sharp.versions.vips}`

const fits = { stretch: 'fill', cover: 'cover', contain: 'contain' } as const

/**
 * Decodes the first frame, upright, alpha flattened on white.
 *
 * An image of more than a million pixels comes out at twice the size of `shape`, in its way of resizing,
 * so that memory does not grow with the image: libvips skips most of a large JPEG.
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED, IMAGE_TRUNCATED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE.
 */
export async function decode(bytes: Uint8Array, shape: InputShape): Promise<Raster> {
  requireFormat(bytes)
  const pipeline = sharp(bytes, options).timeout({ seconds: decodeSeconds })
  try {
    const { width: w, height: h } = await pipeline.metadata()
    if (w * h > directPixels) {
      pipeline.resize(2 * shape.size, 2 * shape.size, {
        fit: fits[shape.resize],
        kernel: 'cubic',
        position: 'centre',
        background: { r: 0, g: 0, b: 0, alpha: 1 },
        fastShrinkOnLoad: true
      })
    }
    const { data, info } = await pipeline
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { width: info.width, height: info.height, channels: 3, pixels: data }
  } catch (error) {
    throw await asImageError(error, bytes)
  }
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
async function asImageError(error: unknown, bytes: Uint8Array): Promise<ServiceError> {
  if (error instanceof ServiceError) return error
  const message = error instanceof Error ? error.message.replace(/\s+/g, ' ').trim() : String(error)
  const what = describeBytes(bytes)
  const format = sniffImage(bytes)
  if (/exceeds pixel limit/.test(message)) {
    const meta = await sharp(bytes, { ...options, limitInputPixels: false }).metadata()
    return tooLarge(meta.width, meta.height)
  }
  if (format !== null && endsEarly(bytes, format)) {
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
