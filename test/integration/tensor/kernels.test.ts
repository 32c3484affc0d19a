/** The fused kernels against their portable twins, values and gradients, on the tensorflow engine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { conv2dBackpropFilter } from '../../../src/tensor/kernels/conv2d-backprop-filter.ts'
import { depthwiseConv2dBackpropFilter } from '../../../src/tensor/kernels/depthwise-conv2d-backprop-filter.ts'
import { depthwiseConv2dBackpropInput } from '../../../src/tensor/kernels/depthwise-conv2d-backprop-input.ts'
import type { Kernels } from '../../../src/tensor/kernels.ts'
import { portableKernels } from '../../../src/tensor/portable.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { assertClose } from '../../support/close.ts'

const engine = await loadEngine('tensorflow', { threads: 2 })
const { tf } = engine
const portable = portableKernels(tf)

const noise = (name: string, shape: readonly number[], low = -1, high = 1): Tensor => {
  const random = new Random(randomKey(5, name))
  const size = shape.reduce((product, length) => product * length, 1)
  return tf.tensor(
    Float32Array.from({ length: size }, () => random.between(low, high)),
    [...shape]
  )
}

interface Case {
  readonly shapes: readonly (readonly number[])[]
  run(kernels: Kernels, inputs: readonly Tensor[]): Tensor
}

const image = [2, 7, 8, 3]
const vector = [3]
const cases: Record<string, Case> = {
  conv2d: {
    shapes: [image, [3, 3, 3, 4]],
    run: (k, [x, w]) => k.conv2d(x as Tensor, w as Tensor, { stride: 2, padding: 'same' })
  },
  depthwiseConv2d: {
    shapes: [image, [3, 3, 3, 2]],
    run: (k, [x, w]) => k.depthwiseConv2d(x as Tensor, w as Tensor, { stride: 2, padding: 'same' })
  },
  matMul: {
    shapes: [
      [5, 3],
      [3, 4]
    ],
    run: (k, [x, w]) => k.matMul(x as Tensor, w as Tensor)
  },
  'biasAdd on images': {
    shapes: [image, vector],
    run: (k, [x, b]) => k.biasAdd(x as Tensor, b as Tensor)
  },
  'biasAdd on rows': {
    shapes: [[5, 3], vector],
    run: (k, [x, b]) => k.biasAdd(x as Tensor, b as Tensor)
  },
  batchNormTraining: {
    shapes: [image, vector, vector],
    run: (k, [x, g, b]) =>
      k.batchNormTraining(x as Tensor, g as Tensor, b as Tensor, { epsilon: 1e-3 }).y
  },
  batchNormInference: {
    shapes: [image, vector, vector],
    run: (k, [x, g, b]) => {
      const statistics = {
        mean: noise('mean', vector),
        variance: noise('variance', vector, 0.5, 2)
      }
      const options = { ...statistics, epsilon: 1e-3 }
      return k.batchNormInference(x as Tensor, g as Tensor, b as Tensor, options)
    }
  },
  relu: { shapes: [image], run: (k, [x]) => k.relu(x as Tensor) },
  relu6: { shapes: [image], run: (k, [x]) => k.relu6(tf.mul(x as Tensor, 9)) },
  maxPool: {
    shapes: [image],
    run: (k, [x]) => k.maxPool(x as Tensor, { size: 2, stride: 2, padding: 'valid' })
  },
  avgPool: {
    shapes: [image],
    run: (k, [x]) => k.avgPool(x as Tensor, { size: 3, stride: 2, padding: 'same' })
  },
  globalAvgPool: { shapes: [image], run: (k, [x]) => k.globalAvgPool(x as Tensor) },
  concat: { shapes: [image, image], run: (k, [a, b]) => k.concat([a as Tensor, b as Tensor], 3) },
  softmax: { shapes: [[5, 4]], run: (k, [x]) => k.softmax(x as Tensor) },
  softmaxCrossEntropy: {
    shapes: [[5, 4]],
    run: (k, [x]) =>
      k.softmaxCrossEntropy(tf.mul(x as Tensor, 5), tf.softmax(noise('targets', [5, 4])))
  },
  normalize: {
    shapes: [image],
    run: (k, [x]) => k.normalize(x as Tensor, { scale: 0.02, zeroPoint: 3 })
  }
}

for (const [name, { shapes, run }] of Object.entries(cases)) {
  test(`${name} has the same values and gradients fused and portable`, () => {
    tf.tidy(() => {
      const inputs = shapes.map((shape, i) => noise(`${name}-${i}`, shape))
      const value = (kernels: Kernels) => run(kernels, inputs)
      const expected = value(portable)
      assertClose(value(engine.kernels).dataSync(), expected.dataSync(), 2e-5, 'value')
      const slope = noise('slope', expected.shape)
      const gradients = (kernels: Kernels) =>
        tf.grads((...xs: Tensor[]) => tf.sum(tf.mul(run(kernels, xs), slope)))(inputs)
      const fused = gradients(engine.kernels)
      for (const [i, gradient] of gradients(portable).entries()) {
        assertClose((fused[i] as Tensor).dataSync(), gradient.dataSync(), 1e-4, `gradient ${i}`)
      }
    })
  })
}

test('batchNormTraining returns the biased variance on both', () => {
  const x = tf.tensor([1, 2, 3, 6], [1, 2, 2, 1])
  const one = tf.ones([1])
  for (const kernels of [engine.kernels, portable]) {
    const { mean, variance } = kernels.batchNormTraining(x, one, one, { epsilon: 1e-3 })
    assertClose(mean.dataSync(), [3], 1e-6)
    assertClose(variance.dataSync(), [3.5], 1e-6)
  }
})

test('uniform() is a pure function of shape and seed, within [0, 1)', () => {
  for (const { uniform } of [engine.kernels, portable]) {
    const draw = (a: number, b: number) => [
      ...uniform([1000], tf.tensor1d([a, b], 'int32')).dataSync()
    ]
    const first = draw(-3, 4)
    assert.deepEqual(first, draw(-3, 4))
    assert.notDeepEqual(first, draw(-3, 5))
    assert.ok(first.every((x) => x >= 0 && x < 1))
    assert.ok(Math.abs(first.reduce((sum, x) => sum + x, 0) / 1000 - 0.5) < 0.05)
  }
})

test('dropout() zeroes the share it should, scales the rest, and differs by salt', () => {
  const x = tf.ones([4000])
  const seed = tf.tensor1d([1, 2], 'int32')
  for (const { dropout } of [engine.kernels, portable]) {
    const values = dropout(x, { rate: 0.25, seed, salt: 1 }).dataSync()
    const zeros = values.filter((v) => v === 0).length
    assert.ok(Math.abs(zeros / 4000 - 0.25) < 0.03)
    assertClose(values.filter((v) => v !== 0).subarray(0, 5), Array(5).fill(4 / 3), 1e-6)
    assert.notDeepEqual(values, dropout(x, { rate: 0.25, seed, salt: 2 }).dataSync())
  }
})

test('projectiveTransform() reads output to input: a shift, a flip, half a pixel', () => {
  const images = tf.tensor([0, 10, 20, 30], [1, 1, 4, 1]) as Tensor4D
  const extent = { height: 1, width: 4, fill: 'reflect' } as const
  const apply = (matrix: number[]) =>
    engine.kernels.projectiveTransform(images, tf.tensor2d([matrix]), extent).dataSync()
  assertClose(apply([1, 0, 1, 0, 1, 0, 0, 0]), [10, 20, 30, 30], 1e-6, 'shift, reflected')
  assertClose(apply([-1, 0, 3, 0, 1, 0, 0, 0]), [30, 20, 10, 0], 1e-6, 'flip')
  assertClose(apply([1, 0, 0.5, 0, 1, 0, 0, 0]).subarray(0, 3), [5, 15, 25], 1e-6, 'half a pixel')
})

for (const [stride, padding] of [
  [1, 'same'],
  [2, 'same'],
  [2, 'valid']
] as const) {
  test(`gradient kernels for wasm agree with TensorFlow's, stride ${stride}, ${padding}`, () => {
    const x = noise('x', [2, 7, 6, 3]) as Tensor4D
    const attributes = { strides: [stride, stride] as [number, number], pad: padding }
    const kernel = noise('kernel', [3, 2, 3, 4]) as Tensor4D
    const conv = (k: Tensor4D) => tf.conv2d(x, k, stride, padding)
    const dy = noise('dy', conv(kernel).shape) as Tensor4D
    const filterShape = kernel.shape
    assertClose(
      conv2dBackpropFilter(tf, { x, dy }, { ...attributes, filterShape }).dataSync(),
      tf
        .grad((k) => tf.sum(tf.mul(conv(k as Tensor4D), dy)))(kernel)
        .dataSync(),
      1e-5,
      'conv2d kernel'
    )
    const deep = noise('deep', [3, 2, 3, 2]) as Tensor4D
    const depthwise = (x: Tensor, k: Tensor) =>
      tf.depthwiseConv2d(x as Tensor4D, k as Tensor4D, stride, padding)
    const slope = noise('slope', depthwise(x, deep).shape) as Tensor4D
    const [dx, dk] = tf.grads((x, k) => tf.sum(tf.mul(depthwise(x, k), slope)))([x, deep])
    assertClose(
      depthwiseConv2dBackpropFilter(
        tf,
        { x, dy: slope },
        { ...attributes, filterShape: deep.shape }
      ).dataSync(),
      (dk as Tensor).dataSync(),
      1e-5,
      'depthwise kernel'
    )
    assertClose(
      depthwiseConv2dBackpropInput(
        tf,
        { dy: slope, filter: deep },
        { ...attributes, inputShape: x.shape }
      ).dataSync(),
      (dx as Tensor).dataSync(),
      1e-5,
      'depthwise input'
    )
  })
}
