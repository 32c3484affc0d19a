/** Tests that drawn matrices mean to an engine what they mean to the plain reference. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tensor4D } from '@tensorflow/tfjs-core'
import { drawAugmentation } from '../../src/augment/draw.ts'
import type { AugmentOp } from '../../src/contract/recipe.ts'
import { type EngineName, loadEngine } from '../../src/tensor/engine.ts'
import { warp } from './warp.ts'

const size = 9
const image = Float32Array.from({ length: size * size }, (_, i) => (i * 53) % 256)
const cases: Record<string, { ops: AugmentOp[]; inputSize: number; tolerance: number }> = {
  // Whole pixels to whole pixels: not even rounding may show.
  'a half turn by two flips': {
    ops: [
      { op: 'flip', probability: 1 },
      { op: 'flip', axis: 'vertical', probability: 1 }
    ],
    inputSize: size,
    tolerance: 0
  },
  'a crop after padding': {
    ops: [{ op: 'randomCrop', padding: 3 }],
    inputSize: size,
    tolerance: 0
  },
  'everything at once': {
    ops: [
      { op: 'rotate', degrees: 45 },
      { op: 'scale', range: [0.7, 1.4] },
      { op: 'translate', x: 0.3, y: 0.3 }
    ],
    inputSize: size,
    tolerance: 0.05
  },
  'a smaller input': { ops: [{ op: 'randomResizedCrop' }], inputSize: 6, tolerance: 0.05 }
}

/** One engine a process: they cannot both own tfjs-core's tensors. */
export const testAppliedAugmentation = async (name: EngineName): Promise<void> => {
  const engine = await loadEngine(name)
  for (const [title, { ops, inputSize, tolerance }] of Object.entries(cases)) {
    test(`projectiveTransform() on ${name} applies drawn matrices: ${title}`, () => {
      const samples = [0, 1, 2, 3]
      const draw = { seed: 5, epoch: 1, samples, size, inputSize, channels: 1 } as const
      const { matrices } = drawAugmentation(ops, draw)
      assert.ok(matrices)
      const extent = { height: inputSize, width: inputSize, fill: 'reflect' } as const
      const pixels = engine.tf.tidy(() => {
        const images = engine.tf.tile(engine.tf.tensor4d(image, [1, size, size, 1]), [4, 1, 1, 1])
        const drawn = engine.tf.tensor2d(matrices, [samples.length, 8])
        return engine.kernels.projectiveTransform(images as Tensor4D, drawn, extent).dataSync()
      })
      const expected = samples.flatMap((i) =>
        warp(image, size, matrices.subarray(i * 8, i * 8 + 8), inputSize)
      )
      assert.equal(pixels.length, expected.length)
      for (const [i, value] of expected.entries()) {
        const distance = Math.abs((pixels[i] as number) - value)
        assert.ok(distance <= tolerance, `${pixels[i]} for ${value} at ${i}`)
      }
    })
  }
}
