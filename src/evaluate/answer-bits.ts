/** Which images were answered rightly, as a report keeps it: a bit each, first image first, in base64. */

/** `correct`: 1 where the answer was right, else 0. */
export function writeAnswers(correct: Uint8Array): string {
  const bits = new Uint8Array(Math.ceil(correct.length / 8))
  for (const [i, right] of correct.entries()) {
    if (right) bits[i >> 3] = (bits[i >> 3] ?? 0) | (0x80 >> (i & 7))
  }
  return Buffer.from(bits).toString('base64')
}

/** Undefined when `text` does not hold the answers to so many images. */
export function readAnswers(text: string, images: number): Uint8Array | undefined {
  const bits = Buffer.from(text, 'base64')
  if (bits.length !== Math.ceil(images / 8)) return undefined
  return Uint8Array.from({ length: images }, (_, i) => ((bits[i >> 3] ?? 0) >> (7 - (i & 7))) & 1)
}
