/** Images that can be learned: every class is a bright disc at its own place, with noise from a seed. */
import type { ImageSource } from '../../src/image/source.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'

interface Options {
  readonly count: number
  readonly size?: number
  readonly channels?: 1 | 3
  readonly classes?: number
  readonly seed?: number
}

export const labelledSource = ({
  count,
  size = 12,
  channels = 1,
  classes = 4,
  seed = 1
}: Options): ImageSource => {
  const random = new Random(randomKey(seed, 'labelled-source'))
  const length = size * size * channels
  const data = new Uint8Array(count * length)
  const labels = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const label = random.word() % classes
    labels[i] = label
    const angle = (2 * Math.PI * label) / classes
    const [x, y] = [size * (0.5 + 0.25 * Math.cos(angle)), size * (0.5 + 0.25 * Math.sin(angle))]
    for (let pixel = 0; pixel < size * size; pixel++) {
      const distance = Math.hypot((pixel % size) - x, Math.floor(pixel / size) - y)
      for (let channel = 0; channel < channels; channel++) {
        const value = (distance < size / 5 ? 160 : 30) + random.between(0, 80)
        data[i * length + pixel * channels + channel] = value
      }
    }
  }
  return {
    count,
    size,
    channels,
    labels,
    read(positions, into) {
      for (let i = 0; i < positions.length; i++) {
        const start = (positions[i] as number) * length
        into.set(data.subarray(start, start + length), i * length)
      }
    }
  }
}
