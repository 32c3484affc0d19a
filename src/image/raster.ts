/** Pixels as the decoders hand them on. */

export interface Raster {
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3
  /** uint8 [height, width, channels], rows without gaps: grey or sRGB. */
  readonly pixels: Uint8Array
}

/** An image of more pixels is brought near its size by libvips, which can skip most of a large JPEG. */
export const directPixels = 1_000_000

/** Luma of ITU-R BT.601, 2.5.1, in 16 fractional bits: what the Y of a JPEG is. The weights sum to 1. */
export function luma(red: number, green: number, blue: number): number {
  return (19_595 * red + 38_470 * green + 7471 * blue + 32_768) >>> 16
}

/** `value` of opacity `alpha`, both 0..255, before white. */
export function onWhite(value: number, alpha: number): number {
  return Math.round((value * alpha + 255 * (255 - alpha)) / 255)
}
