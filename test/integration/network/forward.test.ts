/** The forward pass in training: statistics, dropout and gradients, on both makings of the kernels. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import { forward, forwardAll } from '../../../src/network/forward.ts'
import type { Network } from '../../../src/network/graph.ts'
import { ops } from '../../../src/network/ops.ts'
import { type Engine, type EngineName, loadEngine } from '../../../src/tensor/engine.ts'
import {
  builtNetwork,
  classifierOf,
  noiseImages,
  sketchNode,
  trainedWeights
} from '../../support/networks.ts'

const COUNT = 4
const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 8, channels: 1, width: 0.25 })
const refsOf = ({ nodes }: Network) => nodes.flatMap(({ params }) => Object.values(params))

const tensors = ({ tf }: Engine, of = network): Map<string, Tensor> => {
  const values = trainedWeights(of, 1)
  return new Map(
    refsOf(of).map(({ name, shape }) => [
      name,
      tf.tensor(values.get(name) as Float32Array, [...shape])
    ])
  )
}
const pixels = ({ tf }: Engine) =>
  tf.tensor4d(Float32Array.from(noiseImages(network, COUNT)), [COUNT, ...network.input.shape])

for (const name of ['tensorflow', 'wasm'] satisfies EngineName[]) {
  describe(`forward on ${name}`, () => {
    let engine: Engine
    before(async () => {
      engine = await loadEngine(name, { threads: 1 })
      await engine.tf.setBackend(name)
    })

    test('training hands out the statistics of every batch norm, by parameter name', () => {
      const { tf, kernels } = engine
      tf.tidy(() => {
        const seen = new Map<string, Tensor>()
        const seed = tf.tensor1d([1, 2], 'int32')
        const onStatistics = (parameter: string, value: Tensor) => seen.set(parameter, value)
        const context = { training: true, seed, onStatistics }
        const values = forwardAll(network, kernels, tensors(engine), pixels(engine), context)
        const names = refsOf(network).filter(({ name }) => /\/(mean|variance)$/.test(name))
        assert.deepEqual(
          [...seen.keys()],
          names.map(({ name }) => name)
        )
        const { mean, variance } = tf.moments(values.get('dense') as Tensor, 0)
        near(seen.get('dense-norm/mean'), mean)
        near(seen.get('dense-norm/variance'), variance)
      })
    })

    test('dropout follows the seed and its own id', () => {
      const { tf, kernels } = engine
      const attrs = { rate: 0.5 }
      const two = classifierOf(
        [8, 8, 1],
        [
          sketchNode({ id: 'a', op: 'dropout', attrs }),
          sketchNode({ id: 'b', op: 'dropout', attrs }),
          sketchNode({ id: 'x', op: 'concat', inputs: ['a', 'b'] })
        ]
      )
      tf.tidy(() => {
        const kept = (seed: number, id: 'a' | 'b') => {
          const context = { training: true, seed: tf.tensor1d([seed, 0], 'int32') }
          const values = forwardAll(two, kernels, tensors(engine, two), pixels(engine), context)
          return (values.get(id) as Tensor).dataSync()
        }
        assert.deepEqual(kept(1, 'a'), kept(1, 'a'))
        assert.notDeepEqual(kept(1, 'a'), kept(2, 'a'))
        assert.notDeepEqual(kept(1, 'a'), kept(1, 'b'))
        const share = kept(1, 'a').filter((value) => value === 0).length / (COUNT * 64)
        assert.ok(share > 0.35 && share < 0.65, `${share} dropped`)
      })
    })

    test('every trainable parameter gets a gradient', () => {
      const { tf, kernels } = engine
      tf.tidy(() => {
        const params = tensors(engine)
        const trainable = network.nodes.flatMap(({ op, params: own }) =>
          Object.entries(own).filter(([role]) => ops[op].roles[role]?.trainable)
        )
        const names = trainable.map(([, { name }]) => name)
        const targets = tf.cast(tf.oneHot(tf.tensor1d([0, 1, 2, 3], 'int32'), 10), 'float32')
        const seed = tf.tensor1d([1, 2], 'int32')
        const loss = (...values: Tensor[]) => {
          const own = new Map([
            ...params,
            ...values.map((v, i) => [names[i] as string, v] as const)
          ])
          const context = { training: true, seed }
          const { logits } = forward(network, kernels, own, pixels(engine), context)
          return tf.mean(kernels.softmaxCrossEntropy(logits, targets))
        }
        const gradients = tf.grads(loss as never)(names.map((key) => params.get(key) as Tensor))
        for (const [i, gradient] of gradients.entries()) {
          const largest = Math.max(...gradient.dataSync().map(Math.abs))
          assert.ok(largest > 0 && largest < Infinity, `${names[i]}: ${largest}`)
        }
      })
    })

    test('a missing parameter and a missing seed are named', () => {
      const { tf, kernels } = engine
      tf.tidy(() => {
        const run = (params: Map<string, Tensor>, training: boolean) =>
          forward(network, kernels, params, pixels(engine), { training, seed: undefined })
        assert.throws(() => run(new Map(), false), /'conv1' .* received "conv1\/kernel"/)
        assert.throws(() => run(tensors(engine), true), /'dropout' .* training needs a seed/)
      })
    })
  })
}

const near = (actual: Tensor | undefined, expected: Tensor): void => {
  const values = actual?.dataSync() ?? []
  assert.equal(values.length, expected.size)
  for (const [i, value] of expected.dataSync().entries()) {
    assert.ok(Math.abs((values[i] as number) - value) < 1e-4 * Math.max(1, Math.abs(value)))
  }
}
