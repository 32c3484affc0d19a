/**
 * What every augmentation is: chance in `draw`, mathematics in `matrix`, nothing else.
 *
 * Geometric transforms give a 2x3 affine map, row-major, from output to input coordinates in pixels of
 * the network's input, measured from the image's centre (x right, y down). Colour transforms give a 3x4
 * map of [r, g, b, 1] on 0..255. Both write into arrays they are handed: a draw is made for every image
 * of every epoch on one thread and must not allocate.
 */
import type { AugmentOp } from '../contract/recipe.ts'
import type { Fault } from '../errors.ts'
import type { Random } from '../tensor/random.ts'

export type OptionsOf<Name extends AugmentOp['op']> = Extract<AugmentOp, { op: Name }>

/** Options with every default filled in. */
export type Complete<Name extends AugmentOp['op']> = Required<OptionsOf<Name>>

export interface Transform<Name extends AugmentOp['op']> {
  /** What an omitted option means. */
  readonly defaults: Omit<Partial<OptionsOf<Name>>, 'op'>
  /** What the schema cannot say of these options; pointers are relative to the op. */
  faults(options: OptionsOf<Name>): readonly Fault[]
  /** Draws the parameters of one image into `drawn`. The only place that touches chance. */
  draw(random: Random, options: Complete<Name>, size: number, drawn: Float64Array): void
  /** The matrix of drawn parameters, written to `into` (6 numbers geometric, 12 numbers colour). */
  matrix(drawn: Float64Array, into: Float64Array): void
}

/** The most parameters any transform draws. */
export const MAX_DRAWN = 4

const noFaults: readonly Fault[] = []

/** For transforms of which the schema says everything. */
export const faultless = (): readonly Fault[] => noFaults

/** A fault for a [low, high] option written the wrong way round. */
export const rangeFaults = (pointer: string, range: readonly number[] | undefined) => {
  const [low, high] = range ?? []
  if (low === undefined || high === undefined || low <= high) return noFaults
  const detail = `Cannot draw from the range: the lower end is above the upper, received ${low} to ${high}`
  return [{ pointer, detail, received: range }]
}
