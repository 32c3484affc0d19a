/**
 * Affine quantization of activations to uint8.
 *
 * Jacob et al., 2017. arXiv:1712.05877, section 2.1:  real = scale · (quantized - zeroPoint)
 *
 * Zero is always exactly representable: padding and relu produce it all the time.
 */
import type { ActivationQuantization } from '../network/quantization.ts'

/** Real values from `low` to `high`. */
export interface Range {
  readonly low: number
  readonly high: number
}

/** Largest uint8 value. */
const top = 255

/**
 * Scale and zero point that spread 256 levels over a range, widened to contain zero.
 *
 * @throws RangeError when the range is not finite or reversed.
 */
export function affine({ low, high }: Range): ActivationQuantization {
  if (!Number.isFinite(low) || !Number.isFinite(high) || low > high) {
    throw new RangeError(`Cannot quantize the range from ${low} to ${high}`)
  }
  const from = Math.min(low, 0)
  const scale = Math.fround((Math.max(high, 0) - from) / top)
  // A tensor that is always zero (or denormal): any scale represents it.
  if (scale < 1e-30) return { scale: 1, zeroPoint: 0 }
  return { scale, zeroPoint: Math.min(top, Math.max(0, Math.round(-from / scale))) }
}

/** The value that stands for `real` after quantizing and dequantizing. */
export function roundTrip(real: number, { scale, zeroPoint }: ActivationQuantization): number {
  const quantized = Math.min(top, Math.max(0, Math.round(real / scale) + zeroPoint))
  return scale * (quantized - zeroPoint)
}
