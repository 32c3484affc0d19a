/**
 * The table of augmentations, and what may be asked of any of them. A new one is a file and a row here.
 */
import type { AugmentOp } from '../contract/recipe.ts'
import type { Fault } from '../errors.ts'
import { brightness } from './colour/brightness.ts'
import { contrast } from './colour/contrast.ts'
import { saturation } from './colour/saturation.ts'
import { flip } from './geometric/flip.ts'
import { randomCrop } from './geometric/random-crop.ts'
import { randomResizedCrop } from './geometric/random-resized-crop.ts'
import { rotate } from './geometric/rotate.ts'
import { scale } from './geometric/scale.ts'
import { translate } from './geometric/translate.ts'
import type { Transform } from './transform.ts'

type Table = { readonly [Name in AugmentOp['op']]: Transform<Name> }

const geometric = { flip, rotate, scale, translate, randomCrop, randomResizedCrop }
const colour = { brightness, contrast, saturation }
const transforms: Table = { ...geometric, ...colour }

/** A transform seen without its name: the table guarantees that name and options belong together. */
export type AnyTransform = Transform<AugmentOp['op']>

export const transformOf = ({ op }: AugmentOp): AnyTransform =>
  transforms[op] as unknown as AnyTransform

export const isGeometric = ({ op }: AugmentOp): boolean => op in geometric

/** The op with every omitted option filled in. */
export const completeOp = (op: AugmentOp): AugmentOp => ({ ...transformOf(op).defaults, ...op })

/**
 * What is wrong with an op beyond its schema, for images of `channels` channels; pointers relative to it.
 */
export const augmentFaults = (op: AugmentOp, channels: 1 | 3): readonly Fault[] => {
  const faults = transformOf(op).faults(op)
  if (op.op !== 'saturation' || channels === 3) return faults
  const detail = 'Cannot change saturation: the network reads grey images, received channels 1'
  return [...faults, { pointer: '/op', detail, received: op.op }]
}
