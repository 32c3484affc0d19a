/**
 * Encoded image to network input: THE one function for packs and for serving, so that a model sees
 * at prediction what it saw in training.
 *
 * Three decoders, chosen by the bytes alone ([why](../../docs/decisions/0018-three-decoders-one-resampling.md)):
 * libjpeg-turbo for plain JPEGs, zlib for plain PNGs, libvips for everything else; then one resampling.
 * Pinned on purpose, since each changes pixels: alpha is flattened on white; grey is BT.601 luma;
 * `contain` pads with black, as Keras' `pad_to_aspect_ratio` does: white would look like a flattened
 * background.
 */
import { decode } from './decode.ts'
import { readJpeg } from './jpeg.ts'
import { readPng } from './png.ts'
import { luma, type Raster } from './raster.ts'
import { resample } from './resample.ts'
import type { InputShape } from './shape.ts'
import { sniffImage } from './sniff.ts'

/** Names everything that decides about pixels; packs built under another name are built anew. */
export { preprocessing } from './decode.ts'
export type { InputShape } from './shape.ts'

/**
 * Decodes and resizes one image to uint8 [size, size, channels] (sRGB, or grey).
 *
 * @throws ServiceError IMAGE_FORMAT_UNSUPPORTED, IMAGE_TRUNCATED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE.
 */
export async function preprocess(bytes: Uint8Array, shape: InputShape): Promise<Uint8Array> {
  // Not awaited: these pixels lie on the canvas, which the next image takes.
  const plain = readPlain(bytes, shape.channels)
  if (plain) return resample(plain, shape)
  const raster = await decode(bytes, shape)
  return resample(shape.channels === 1 ? asGrey(raster) : raster, shape)
}

function readPlain(bytes: Uint8Array, channels: 1 | 3): Raster | null {
  const format = sniffImage(bytes)
  if (format === 'jpeg') return readJpeg(bytes, channels)
  return format === 'png' ? readPng(bytes, channels) : null
}

function asGrey({ width, height, pixels }: Raster): Raster {
  const grey = new Uint8Array(width * height)
  for (let i = 0, at = 0; i < grey.length; i++, at += 3) {
    grey[i] = luma(pixels[at] ?? 0, pixels[at + 1] ?? 0, pixels[at + 2] ?? 0)
  }
  return { width, height, channels: 1, pixels: grey }
}
