/** The wasm engine with its registered gradient kernels, against finite differences. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { assertClose } from '../../support/close.ts'

const engine = await loadEngine('wasm')
const { tf, kernels } = engine

const noise = (name: string, shape: number[]) => {
  const random = new Random(randomKey(8, name))
  const size = shape.reduce((product, length) => product * length, 1)
  return { shape, data: Float32Array.from({ length: size }, () => random.between(-1, 1)) }
}

test('loadEngine() says what it loaded and why', () => {
  assert.equal(engine.name, 'wasm')
  assert.match(engine.version, /^4\./)
  assert.match(engine.reason, /asks for it/)
})

for (const op of ['conv2d', 'depthwiseConv2d'] as const) {
  test(`${op}: gradients in image and kernel equal central differences`, () => {
    const inputs = [noise('x', [1, 5, 6, 2]), noise('k', [3, 3, 2, 3])]
    const loss = (x: Tensor, k: Tensor) =>
      tf.sum(tf.square(kernels[op](x, k, { stride: 2, padding: 'same' })))
    const tensors = () =>
      inputs.map(({ data, shape }) => tf.tensor(data, shape)) as [Tensor, Tensor]
    const gradients = tf
      .grads(loss)(tensors())
      .map((gradient) => gradient.dataSync())
    for (const [i, { data }] of inputs.entries()) {
      const numeric = data.map((value, j) => {
        const at = (changed: number) => {
          data[j] = changed
          const result = loss(...tensors()).dataSync()[0] as number
          data[j] = value
          return result
        }
        return (at(value + 0.05) - at(value - 0.05)) / 0.1
      })
      assertClose(gradients[i] ?? [], numeric, 5e-3, `input ${i}`)
    }
  })
}

test('a step runs eagerly: updates in program order, no tensor left', () => {
  const step = engine.compile({
    variables: new Map([
      ['w', { shape: [2], data: Float32Array.of(1, 2) }],
      ['m', { shape: [2], data: new Float32Array(2) }]
    ]),
    inputs: { pixels: { shape: [2], dtype: 'uint8' }, rate: { shape: [], dtype: 'float32' } },
    step(scope, { pixels, rate }) {
      const before = scope.read('w')
      const learningRate = rate as Tensor
      const update = { slot: 'm', gradient: pixels as Tensor, learningRate }
      scope.applyMomentum('w', { ...update, momentum: 0.5, nesterov: false })
      return { before, after: scope.read('w') }
    }
  })
  const held = engine.tensorCount()
  const { before, after } = step.run({ pixels: Uint8Array.of(10, 20), rate: 0.1 })
  assert.deepEqual(before, Float32Array.of(1, 2))
  assertClose(after ?? [], [0, 0], 1e-6)
  step.run({ pixels: Uint8Array.of(10, 20), rate: 0.1 })
  assertClose(step.read().get('w') ?? [], [-1.5, -3], 1e-6)
  assert.equal(engine.tensorCount(), held)
  step.dispose()
  assert.equal(engine.tensorCount(), held - 2)
})
