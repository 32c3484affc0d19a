/** Pictures that no two requests share: smooth colours under some noise, about as large as photographs. */
import sharp from 'sharp'
import type { InputShape } from '../../src/image/shape.ts'

async function picture(width: number, height: number) {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const
  const coarse = { width: Math.ceil(width / 16), height: Math.ceil(height / 16) }
  const background = { r: 128, g: 128, b: 128 }
  const create = { ...coarse, channels: 3, background, noise } as const
  const smooth = await sharp({ create }).png().toBuffer()
  const grain = { width, height, channels: 3, background, noise: { ...noise, sigma: 8 } } as const
  const fine = await sharp({ create: grain }).png().toBuffer()
  const raw = await sharp(smooth)
    .resize(width, height, { fit: 'fill', kernel: 'cubic' })
    .composite([{ input: fine, blend: 'soft-light' }])
    .removeAlpha()
    .raw()
    .toBuffer()
  return sharp(raw, { raw: { width, height, channels: 3 } })
}

const several = async (count: number, make: () => Promise<Buffer>): Promise<Buffer[]> =>
  Promise.all(Array.from({ length: count }, make))

/** JPEGs of 500x375 pixels, about 40 kB each. */
export const photographs = (count: number): Promise<Buffer[]> =>
  several(count, async () => (await picture(500, 375)).jpeg({ quality: 85 }).toBuffer())

/** PNGs of 32x32 pixels, about 3 kB each. */
export const thumbnails = (count: number): Promise<Buffer[]> =>
  several(count, async () => (await picture(32, 32)).png().toBuffer())

/** uint8 [size, size, 3] each. */
export const tensors = (count: number, { size }: InputShape): Promise<Buffer[]> =>
  several(count, async () => (await picture(size, size)).raw().toBuffer())
