/**
 * The preset of a job that names none: a baseline and its int8 form, no pruning.
 *
 * Holds what does not depend on the data; `choose-*.ts` decide the rest from the dataset's facts.
 */
import type { AugmentOp, QuantizeOptions, Recipe } from '../../contract/recipe.ts'

export interface Preset {
  /** What a recipe that says nothing of it means: null leaves the variant out. */
  readonly prune: Recipe['prune']
  readonly quantize: Recipe['quantize']
  /** Mild enough for anything upright. No flips: a mirrored 2 is no 2, a mirrored arrow another arrow. */
  readonly geometric: readonly AugmentOp[]
  /** Added for colour images: photographs differ in exposure, scans hardly do. */
  readonly colour: readonly AugmentOp[]
  readonly calibration: QuantizeOptions['calibration']
  readonly calibrationImages: number
}

export const balanced: Preset = {
  prune: null,
  quantize: {},
  geometric: [
    { op: 'rotate', degrees: 15 },
    { op: 'scale', range: [0.8, 1.25] },
    { op: 'translate', x: 0.1, y: 0.1 }
  ],
  colour: [
    { op: 'brightness', amount: 0.15 },
    { op: 'contrast', amount: 0.15 }
  ],
  calibration: 'mse',
  calibrationImages: 512
}
