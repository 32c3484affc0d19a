/** The exported float file against the forward pass that trained it, tensor by tensor. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import { forward, forwardAll } from '../../../src/network/forward.ts'
import type { Network, Weights } from '../../../src/network/graph.ts'
import { inferShapes } from '../../../src/network/shapes.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { openSession } from '../../../src/runtime/session.ts'
import { type Engine, loadEngine } from '../../../src/tensor/engine.ts'
import {
  builtNetwork,
  classifierOf,
  type NodeSketch,
  noiseImages,
  sketchNode,
  trainedWeights
} from '../../support/networks.ts'

const TOLERANCE = 1e-4
const COUNT = 3

const conv = (id: string, shape: number[], attrs = {}): NodeSketch => ({
  id,
  op: 'conv2d',
  attrs: { stride: 1, padding: 'same', ...attrs },
  shapes: { kernel: shape }
})
const norm = { gamma: [3], beta: [3], mean: [3], variance: [3] }
const pool = { size: 2, stride: 2, padding: 'valid' }

/** Every op, and the corners where TensorFlow and ONNX count differently. */
const cases: Readonly<Record<string, readonly NodeSketch[]>> = {
  'conv2d, same': [conv('x', [3, 3, 3, 5])],
  'conv2d, same, stride 2': [conv('x', [3, 3, 3, 5], { stride: 2 })],
  'conv2d, same, stride 3': [conv('x', [5, 4, 3, 5], { stride: 3 })],
  'conv2d, valid, bias': [
    {
      ...conv('x', [3, 2, 3, 5], { padding: 'valid' }),
      shapes: { kernel: [3, 2, 3, 5], bias: [5] }
    }
  ],
  'depthwiseConv2d, stride 2': [
    {
      id: 'x',
      op: 'depthwiseConv2d',
      attrs: { stride: 2, padding: 'same' },
      shapes: { kernel: [3, 3, 3, 1], bias: [3] }
    }
  ],
  'depthwiseConv2d, multiplier 2': [
    {
      id: 'x',
      op: 'depthwiseConv2d',
      attrs: { stride: 1, padding: 'valid' },
      shapes: { kernel: [3, 3, 3, 2] }
    }
  ],
  batchNorm: [{ id: 'x', op: 'batchNorm', attrs: { epsilon: 1e-3 }, shapes: norm }],
  relu: [{ id: 'x', op: 'relu' }],
  relu6: [
    { id: 'up', op: 'batchNorm', attrs: { epsilon: 1e-3 }, shapes: norm },
    { id: 'more', op: 'add', inputs: ['up', 'up'] },
    { id: 'most', op: 'add', inputs: ['more', 'more'] },
    { id: 'x', op: 'relu6', inputs: ['most'] }
  ],
  maxPool: [{ id: 'x', op: 'maxPool', attrs: pool }],
  'maxPool, same': [{ id: 'x', op: 'maxPool', attrs: { ...pool, size: 3, padding: 'same' } }],
  'avgPool, same': [{ id: 'x', op: 'avgPool', attrs: { ...pool, size: 3, padding: 'same' } }],
  globalAvgPool: [{ id: 'x', op: 'globalAvgPool' }],
  add: [
    conv('a', [3, 3, 3, 4]),
    conv('b', [1, 1, 3, 4]),
    { id: 'x', op: 'add', inputs: ['a', 'b'] }
  ],
  concat: [
    conv('a', [3, 3, 3, 4]),
    conv('b', [1, 1, 3, 2]),
    { id: 'x', op: 'concat', inputs: ['a', 'b', 'images'] }
  ],
  'concat of vectors': [
    { id: 'a', op: 'globalAvgPool' },
    { id: 'b', op: 'flatten' },
    { id: 'x', op: 'concat', inputs: ['a', 'b'] }
  ],
  'flatten, dense, batchNorm, dropout': [
    { id: 'a', op: 'flatten' },
    { id: 'b', op: 'dense', inputs: ['a'], shapes: { kernel: [7 * 10 * 3, 3] } },
    { id: 'c', op: 'batchNorm', inputs: ['b'], attrs: { epsilon: 1e-3 }, shapes: norm },
    { id: 'd', op: 'relu', inputs: ['c'] },
    { id: 'x', op: 'dropout', inputs: ['d'], attrs: { rate: 0.5 } }
  ]
}

describe('float export', () => {
  let engine: Engine
  before(async () => {
    engine = await loadEngine('tensorflow', { threads: 1 })
  })

  for (const [name, sketches] of Object.entries(cases)) {
    test(`${name}: every tensor as in the forward pass`, async () => {
      const network = classifierOf([7, 10, 3], sketches.map(sketchNode))
      await compare(engine, network, trainedWeights(network, 3))
    })
  }

  test('one channel: the image is reshaped', async () => {
    const network = classifierOf([6, 6, 1], [sketchNode(conv('x', [3, 3, 1, 4]))])
    await compare(engine, network, trainedWeights(network, 4))
  })

  for (const changes of [
    { architecture: 'resnet-cifar', width: 0.5, inputSize: 17 },
    { architecture: 'simple-cnn', width: 0.5, inputSize: 28, channels: 1 },
    { architecture: 'simple-cnn', width: 0.25, inputSize: 13 }
  ] as const) {
    test(`${changes.architecture} at ${changes.inputSize} pixels`, async () => {
      const network = builtNetwork(changes)
      await compare(engine, network, trainedWeights(network, 5))
    })
  }
})

const compare = async (engine: Engine, network: Network, weights: Weights): Promise<void> => {
  const inner = network.nodes.map(({ id }) => id).filter((id) => id !== network.output)
  const session = await openSession(exportOnnx({ network, weights, outputs: inner }), {
    threads: 1
  })
  const images = noiseImages(network, COUNT)
  const received = await session.run(images, COUNT)
  const expected = computed(engine, network, weights, images)
  for (const [id, values] of expected) {
    const name = id === network.output ? 'probabilities' : id
    const actual = received.get(name) as Float32Array
    assert.equal(actual.length, values.length, name)
    const scale = Math.max(1, ...values.map(Math.abs))
    for (const [i, value] of values.entries()) {
      const difference = Math.abs(value - (actual[i] as number)) / scale
      assert.ok(difference < TOLERANCE, `${name}[${i}]: ${actual[i]} instead of ${value}`)
    }
  }
  await session.release()
}

/** Every node's values in ONNX's order: channels first. */
const computed = (
  { tf, kernels }: Engine,
  network: Network,
  weights: Weights,
  images: Uint8Array
): ReadonlyMap<string, Float32Array> => {
  const shapes = inferShapes(network)
  const found = new Map<string, Float32Array>()
  tf.tidy(() => {
    const refs = network.nodes.flatMap(({ params }) => Object.values(params))
    const params = new Map<string, Tensor>(
      refs.map(({ name, shape }) => [
        name,
        tf.tensor(weights.get(name) as Float32Array, [...shape])
      ])
    )
    const pixels = tf.tensor4d(Float32Array.from(images), [COUNT, ...network.input.shape])
    const context = { training: false, seed: undefined }
    const values = forwardAll(network, kernels, params, pixels, context)
    for (const { id } of network.nodes) {
      const value = values.get(id) as Tensor
      assert.deepEqual(value.shape, [COUNT, ...(shapes.get(id) as number[])], id)
      const ordered = value.rank === 4 ? tf.transpose(value, [0, 3, 1, 2]) : value
      found.set(id, ordered.dataSync() as Float32Array)
    }
    const { logits, probabilities } = forward(network, kernels, params, pixels, context)
    assert.deepEqual(probabilities.dataSync(), found.get(network.output))
    assert.deepEqual(logits.shape, probabilities.shape)
  })
  return found
}
