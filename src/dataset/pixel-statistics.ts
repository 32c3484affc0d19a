/** Mean and standard deviation of uint8 pixels, exact however many there are. */
export interface PixelStatistics {
  add(pixels: Uint8Array): void
  /** In pixel levels, 0..255. The deviation is at least 1, so that dividing by it is safe. */
  result(): { readonly mean: number; readonly std: number }
}

/**
 * Sums are integers: exact per image as doubles, exact over images as bigints. So the result does not
 * depend on the order in which images finish decoding.
 */
export function pixelStatistics(): PixelStatistics {
  let n = 0
  let sum = 0n
  let squares = 0n
  return {
    add(pixels) {
      let s = 0
      let q = 0
      for (const value of pixels) {
        s += value
        q += value * value
      }
      n += pixels.length
      sum += BigInt(s)
      squares += BigInt(q)
    },
    result() {
      if (n === 0) return { mean: 0, std: 1 }
      const mean = Number(sum) / n
      const variance = Number(squares) / n - mean * mean
      return { mean, std: Math.max(1, Math.sqrt(Math.max(0, variance))) }
    }
  }
}
