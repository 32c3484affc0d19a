/** Small encoded images, good and bad, for whatever decodes them. */
import sharp from 'sharp'

type Format = 'png' | 'jpeg' | 'webp' | 'gif'

/** A square of one grey level. */
export function flatImage(level: number, format: Format = 'png', side = 12): Promise<Buffer> {
  const background = { r: level, g: level, b: level }
  return sharp({ create: { width: side, height: side, channels: 3, background } })
    .toFormat(format)
    .toBuffer()
}
