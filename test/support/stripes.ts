/** Images that a small network learns in a few seconds: each class is a direction of stripes. */
import type { ImageSource } from '../../src/image/source.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'

export interface StripesOptions {
  readonly count: number
  readonly size: number
  readonly channels: 1 | 3
  readonly classes: number
  readonly seed: number
}

/** Stripes of random phase, width and contrast under noise; classes take turns. */
export function stripes({ count, size, channels, classes, seed }: StripesOptions): ImageSource {
  const stride = size * size * channels
  const pixels = new Uint8Array(count * stride)
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes)
  for (const [image, label] of labels.entries()) {
    const random = new Random(randomKey(seed, 'stripes', image))
    const angle = (Math.PI * label) / classes
    const frequency = random.between(0.7, 1.1)
    const phase = random.between(0, 2 * Math.PI)
    const contrast = random.between(40, 90)
    for (let i = 0; i < stride; i++) {
      const position = Math.floor(i / channels)
      const along =
        (position % size) * Math.cos(angle) + Math.floor(position / size) * Math.sin(angle)
      const wave = contrast * Math.sin(frequency * along + phase)
      pixels[image * stride + i] = Math.max(0, Math.min(255, 128 + wave + 25 * random.normal()))
    }
  }
  return {
    count,
    size,
    channels,
    labels,
    read(positions, into) {
      for (let i = 0; i < positions.length; i++) {
        const at = (positions[i] ?? 0) * stride
        into.set(pixels.subarray(at, at + stride), i * stride)
      }
    }
  }
}
