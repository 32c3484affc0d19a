/**
 * What an import wants to know of an image, found by decoding all of it once: a header can be
 * flawless above missing pixels.
 */
import { type ImageHeader, readHeader } from './decode.ts'
import { preprocess } from './preprocess.ts'

export interface ImageFacts extends Omit<ImageHeader, 'greyFile'> {
  /** Whether the image shows no colour, also when it is stored as RGB. */
  readonly grey: boolean
}

/** Side of the thumbnail on which colour is looked for. */
const thumbnail = 64
/** Largest difference between channels that still counts as grey: JPEG's chroma rounding. */
const tolerance = 4

/**
 * Decodes the image completely and says its format, sides and whether it is grey.
 *
 * Grey is judged on a 64-pixel thumbnail, so a few coloured pixels in a large image go unnoticed.
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED, IMAGE_TRUNCATED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE.
 */
export async function inspect(bytes: Uint8Array): Promise<ImageFacts> {
  const { greyFile, ...header } = await readHeader(bytes)
  const pixels = await preprocess(bytes, { size: thumbnail, channels: 3, resize: 'stretch' })
  return { ...header, grey: greyFile || isGrey(pixels) }
}

/** `pixels` is uint8 [n, 3]. */
function isGrey(pixels: Uint8Array): boolean {
  for (let i = 0; i < pixels.length; i += 3) {
    const [r, g, b] = [pixels[i] ?? 0, pixels[i + 1] ?? 0, pixels[i + 2] ?? 0]
    if (Math.max(r, g, b) - Math.min(r, g, b) > tolerance) return false
  }
  return true
}
