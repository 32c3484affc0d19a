/** Gradients of the kernels whose backward pass is ours, against central differences, on both engines. */
import { test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import { type Engine, type EngineName, loadEngine } from '../../../src/tensor/engine.ts'
import type { Kernels } from '../../../src/tensor/kernels.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { assertClose } from '../../support/close.ts'

interface Case {
  readonly shapes: readonly (readonly number[])[]
  run(kernels: Kernels, inputs: readonly Tensor[], tf: Engine['tf']): Tensor
}

const convolution = { stride: 2, padding: 'same' } as const
/** Rows sum to one; they carry no gradient. */
const targets = [0.1, 0.2, 0.3, 0.4, 0.7, 0.1, 0.1, 0.1, 0, 0, 1, 0]
const cases: Record<string, Case> = {
  conv2d: {
    shapes: [
      [1, 5, 4, 2],
      [3, 3, 2, 3]
    ],
    run: (k, [x, w]) => k.conv2d(x as Tensor, w as Tensor, convolution)
  },
  depthwiseConv2d: {
    shapes: [
      [1, 5, 4, 2],
      [3, 3, 2, 2]
    ],
    run: (k, [x, w]) => k.depthwiseConv2d(x as Tensor, w as Tensor, convolution)
  },
  batchNormTraining: {
    shapes: [[2, 3, 2, 2], [2], [2]],
    run: (k, [x, gamma, beta]) =>
      k.batchNormTraining(x as Tensor, gamma as Tensor, beta as Tensor, { epsilon: 1e-3 }).y
  },
  softmaxCrossEntropy: {
    shapes: [[3, 4]],
    run: (k, [x], tf) => k.softmaxCrossEntropy(x as Tensor, tf.tensor(targets, [3, 4]))
  }
}
for (const name of ['wasm', 'tensorflow'] satisfies EngineName[]) {
  for (const [title, { shapes, run }] of Object.entries(cases)) {
    test(`${title} on ${name}: gradients equal central differences`, async () => {
      const { tf, kernels } = await loadEngine(name, { threads: 1 })
      await tf.setBackend(name)
      const random = new Random(randomKey(4, title))
      const draw = (shape: readonly number[]) =>
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.between(-1, 1))
      const data = shapes.map(draw)
      const output = (inputs: readonly Tensor[]) => run(kernels, inputs, tf)
      const tensors = () =>
        data.map((values, i) => tf.tensor(values.slice(), [...(shapes[i] ?? [])]))
      const slope = draw(output(tensors()).shape)
      const loss = (...inputs: Tensor[]) => {
        const y = output(inputs)
        return tf.sum(tf.mul(y, tf.tensor(slope, y.shape)))
      }
      const gradients = tf.grads(loss)(tensors())
      for (const [i, values] of data.entries()) {
        const numeric = values.map((value, j) => {
          const at = (changed: number) => {
            values[j] = changed
            const result = loss(...tensors()).dataSync()[0] as number
            values[j] = value
            return result
          }
          return (at(value + 0.01) - at(value - 0.01)) / 0.02
        })
        assertClose(gradients[i]?.dataSync() ?? [], numeric, 5e-3, `input ${i}`)
      }
    })
  }
}
