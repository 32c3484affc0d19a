/**
 * Draws one batch of augmentation: per image one matrix for geometry, one for colour.
 *
 * All geometric transforms of an image compose into one map, so it is resampled once; all colour
 * transforms into one affine map of its values, clipped once, at the end. Applying them is `train/`'s
 * work, inside the compiled step. A draw depends on (seed, epoch, position of the image, index of the
 * op) and on nothing else.
 */
import type { AugmentOp } from '../contract/recipe.ts'
import { Random, randomKey } from '../tensor/random.ts'
import { MAX_DRAWN } from './transform.ts'
import {
  type AnyTransform,
  augmentFaults,
  completeOp,
  isGeometric,
  transformOf
} from './transforms.ts'

export interface DrawOptions {
  readonly seed: number
  readonly epoch: number
  /** Positions of the images in their source; the batch has as many rows, in this order. */
  readonly samples: ArrayLike<number>
  /** Side of the images as stored, in pixels. */
  readonly size: number
  /** Side that the network reads. @default size */
  readonly inputSize?: number
  readonly channels: 1 | 3
}

export interface AugmentationDraw {
  /**
   * [n * 8]: a0 a1 a2 b0 b1 b2 c0 c1 of every image, as ImageProjectiveTransformV3 takes them: the output
   * pixel (x, y) reads the input at ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k), k = c0 x + c1 y + 1,
   * in whole-pixel coordinates. Null when every image would be left as it is.
   */
  readonly matrices: Float32Array | null
  /**
   * [n * 12]: 3x4, row-major: out = M [r, g, b, 1] on 0..255, to be clipped to 0..255. For one channel
   * out = M[0] v + M[3]. Null without colour ops.
   */
  readonly colour: Float32Array | null
}

interface Step {
  readonly transform: AnyTransform
  readonly options: Parameters<AnyTransform['draw']>[1]
  readonly random: Random
}

/**
 * Draws the augmentation of a batch: `ops` in their order, as if applied one after the other.
 *
 * @throws RangeError when an op cannot be used, saturation on grey images for one.
 */
export const drawAugmentation = (
  ops: readonly AugmentOp[],
  options: DrawOptions
): AugmentationDraw => {
  const steps = ops.map((op, index) => ({
    geometric: isGeometric(op),
    step: prepare(op, index, options)
  }))
  const { size, inputSize = size } = options
  const geometric = steps.filter((s) => s.geometric).map((s) => s.step)
  const colour = steps.filter((s) => !s.geometric).map((s) => s.step)
  return {
    matrices: geometric.length > 0 || size !== inputSize ? drawMatrices(geometric, options) : null,
    colour: colour.length > 0 ? drawColour(colour, options) : null
  }
}

const prepare = (op: AugmentOp, index: number, { seed, epoch, channels }: DrawOptions): Step => {
  const [fault] = augmentFaults(op, channels)
  if (fault) throw new RangeError(`${fault.detail} (${op.op}${fault.pointer})`)
  return {
    transform: transformOf(op),
    options: completeOp(op) as Step['options'],
    random: new Random(randomKey(seed, 'augment', epoch, index))
  }
}

const drawMatrices = (steps: readonly Step[], options: DrawOptions): Float32Array => {
  const { samples, size, inputSize = size } = options
  const matrices = new Float32Array(samples.length * 8)
  const drawn = new Float64Array(MAX_DRAWN)
  const next = new Float64Array(6)
  const total = new Float64Array(6)
  for (let i = 0; i < samples.length; i++) {
    total.set(identity)
    for (const { transform, options, random } of steps) {
      transform.draw(random.at(samples[i] as number), options, inputSize, drawn)
      transform.matrix(drawn, next)
      composeAffine(total, next)
    }
    writePixels(total, size, inputSize, matrices, i * 8)
  }
  return matrices
}

const identity = [1, 0, 0, 0, 1, 0] as const

/** total = total * next: of two maps to input coordinates, the one of the later transform acts first. */
const composeAffine = (total: Float64Array, next: Float64Array): void => {
  const [p = 0, q = 0, r = 0, s = 0, t = 0, u = 0] = next
  for (let row = 0; row < 6; row += 3) {
    const a = total[row] as number
    const b = total[row + 1] as number
    total[row] = a * p + b * s
    total[row + 1] = a * q + b * t
    total[row + 2] = a * r + b * u + (total[row + 2] as number)
  }
}

/**
 * From centred coordinates to pixel indices: the centre of n pixels is index (n - 1) / 2, so a flip or
 * a half turn lands on pixels exactly. Stored pixels are size / inputSize as many per unit.
 */
const writePixels = (
  total: Float64Array,
  size: number,
  inputSize: number,
  matrices: Float32Array,
  at: number
): void => {
  const density = size / inputSize
  const centre = (inputSize - 1) / 2
  for (let row = 0; row < 2; row++) {
    const a = total[row * 3] as number
    const b = total[row * 3 + 1] as number
    const shift = (total[row * 3 + 2] as number) - (a + b) * centre
    matrices[at + row * 3] = a * density
    matrices[at + row * 3 + 1] = b * density
    matrices[at + row * 3 + 2] = (size - 1) / 2 + shift * density
  }
}

const drawColour = (steps: readonly Step[], { samples, size }: DrawOptions): Float32Array => {
  const colour = new Float32Array(samples.length * 12)
  const drawn = new Float64Array(MAX_DRAWN)
  const next = new Float64Array(12)
  const total = new Float64Array(12)
  for (let i = 0; i < samples.length; i++) {
    total.set(unchanged)
    for (const { transform, options, random } of steps) {
      transform.draw(random.at(samples[i] as number), options, size, drawn)
      transform.matrix(drawn, next)
      composeColour(total, next)
    }
    colour.set(total, i * 12)
  }
  return colour
}

const unchanged = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] as const

/** total = next * total, both with [0, 0, 0, 1] as their fourth row. */
const composeColour = (total: Float64Array, next: Float64Array): void => {
  for (let column = 0; column < 4; column++) {
    const x = total[column] as number
    const y = total[column + 4] as number
    const z = total[column + 8] as number
    for (let row = 0; row < 3; row++) {
      const at = row * 4
      const constant = column === 3 ? (next[at + 3] as number) : 0
      total[at + column] =
        (next[at] as number) * x +
        (next[at + 1] as number) * y +
        (next[at + 2] as number) * z +
        constant
    }
  }
}
