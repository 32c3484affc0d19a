/**
 * The form of a pack on disk, known to its builder and its reader only:
 *
 *   pixels   uint8 [train + validation + test, size, size, channels], in that order of splits
 *   labels   int32 little-endian, one for each image
 *   trailer  PackTrailer as JSON (UTF-8)
 *   end      uint32 little-endian: bytes of the trailer; then the magic bytes
 *
 * The description comes last because mean and deviation are known only when the pixels are written.
 */
import { type Static, Type } from 'typebox'

/** Changes whenever the form does. */
export const packMagic = Buffer.from('WHITPK01', 'latin1')
/** Bytes of the last part: the trailer's length and the magic bytes. */
export const packEnd = 4 + packMagic.length

export const splits = ['train', 'validation', 'test'] as const
export type Split = (typeof splits)[number]

const count = Type.Integer({ minimum: 0 })

export const PackTrailer = Type.Object({
  size: Type.Integer({ minimum: 1 }),
  channels: Type.Union([Type.Literal(1), Type.Literal(3)]),
  labels: Type.Array(Type.String()),
  counts: Type.Object({ train: count, validation: count, test: count }),
  mean: Type.Number(),
  std: Type.Number()
})
export type PackTrailer = Static<typeof PackTrailer>

export const imageBytes = ({ size, channels }: Pick<PackTrailer, 'size' | 'channels'>): number =>
  size * size * channels
export const imageCount = ({ counts }: Pick<PackTrailer, 'counts'>): number =>
  counts.train + counts.validation + counts.test
