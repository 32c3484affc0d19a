/**
 * What an image looks like, in a few numbers that tell nothing of what it shows.
 *
 * The same function looks at validation images in training and at served ones in the engine process, so
 * that the two can be compared without an image leaving either.
 */

export interface PixelFacts {
  /** Mean over all channels, 0..255. */
  readonly brightness: number
  /** Standard deviation of the pixels, each the mean of its channels: 0..127.5. */
  readonly contrast: number
  /** Mean of red, green and blue, 0..255; empty for grey images. */
  readonly channels: readonly number[]
}

/** Of a larger image every k-th pixel is looked at: the mean of 4,096 is within a level or two. */
const mostPixels = 4096

/** @param pixels uint8 [height, width, channels] */
export function pixelFacts(pixels: Uint8Array, channels: 1 | 3): PixelFacts {
  const count = Math.floor(pixels.length / channels)
  // Odd, so that rows of an even width are not all looked at in the same columns.
  const step = Math.ceil(count / mostPixels) | 1
  return channels === 1 ? greyFacts(pixels, step) : colourFacts(pixels, step)
}

function greyFacts(pixels: Uint8Array, step: number): PixelFacts {
  let n = 0
  let sum = 0
  let squares = 0
  for (let at = 0; at < pixels.length; at += step) {
    const value = pixels[at] as number
    n += 1
    sum += value
    squares += value * value
  }
  return { brightness: mean(sum, n), contrast: deviation({ n, sum, squares }), channels: [] }
}

function colourFacts(pixels: Uint8Array, step: number): PixelFacts {
  let n = 0
  let red = 0
  let green = 0
  let blue = 0
  let squares = 0
  for (let at = 0; at + 2 < pixels.length; at += 3 * step) {
    const r = pixels[at] as number
    const g = pixels[at + 1] as number
    const b = pixels[at + 2] as number
    n += 1
    red += r
    green += g
    blue += b
    squares += (r + g + b) ** 2
  }
  const sum = red + green + blue
  return {
    brightness: mean(sum, 3 * n),
    contrast: deviation({ n, sum, squares }) / 3,
    channels: [mean(red, n), mean(green, n), mean(blue, n)]
  }
}

const mean = (sum: number, n: number): number => (n === 0 ? 0 : sum / n)

function deviation({ n, sum, squares }: { n: number; sum: number; squares: number }): number {
  return n === 0 ? 0 : Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2))
}
