/**
 * Encoded image to network input: THE one function for packs and for serving, so that a model sees
 * at prediction what it saw in training.
 *
 * Pinned on purpose, since each changes pixels: resampling by Catmull-Rom cubic (antialiased when
 * shrinking), JPEG shrink-on-load allowed, resampling in gamma-encoded sRGB, alpha premultiplied
 * while resampling and then flattened on white. `contain` pads with black, as Keras'
 * `pad_to_aspect_ratio` does: white would look like a flattened background.
 */
import sharp, { type Sharp } from 'sharp'
import { asImageError, openImage } from './decode.ts'

export type ResizeMode = 'stretch' | 'cover' | 'contain'

export interface InputShape {
  /** Side in pixels of the square result. */
  readonly size: number
  readonly channels: 1 | 3
  /** stretch: both sides independently; cover: centre crop; contain: black bars. */
  readonly resize: ResizeMode
}

/** Names everything that decides about pixels; packs built under another name are built anew. */
export const preprocessing = `cubic-1, libvips ${sharp.versions.vips}`

const fits = { stretch: 'fill', cover: 'cover', contain: 'contain' } as const

/**
 * Decodes and resizes one image to uint8 [size, size, channels] (sRGB, or grey by Rec. 709 luminance).
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED, IMAGE_TRUNCATED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE.
 */
export async function preprocess(bytes: Uint8Array, shape: InputShape): Promise<Uint8Array> {
  const { size, channels, resize } = shape
  const pipeline = openImage(bytes)
  try {
    const resized = pipeline
      .resize(size, size, {
        fit: fits[resize],
        kernel: 'cubic',
        position: 'centre',
        background: { r: 0, g: 0, b: 0, alpha: 1 },
        fastShrinkOnLoad: true
      })
      .flatten({ background: '#ffffff' })
    return await inColourSpace(resized, channels).raw({ depth: 'uchar' }).toBuffer()
  } catch (error) {
    throw await asImageError(error, bytes)
  }
}

const inColourSpace = (pipeline: Sharp, channels: 1 | 3): Sharp =>
  channels === 1 ? pipeline.greyscale().toColourspace('b-w') : pipeline.toColourspace('srgb')
