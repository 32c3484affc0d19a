/** What is measured with fixed weights: batch norm statistics, mean gradients, predictions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { forwardAll } from '../../../src/network/forward.ts'
import type { Weights } from '../../../src/network/graph.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { estimateBatchNorm } from '../../../src/train/estimate-batch-norm.ts'
import { meanGradients } from '../../../src/train/mean-gradients.ts'
import { parametersOf } from '../../../src/train/parameters.ts'
import { predict } from '../../../src/train/predict.ts'
import { assertClose } from '../../support/close.ts'
import { labelledSource } from '../../support/labelled-source.ts'
import { trainedWeights } from '../../support/networks.ts'

const engine = await loadEngine('tensorflow', { threads: 2 })
const { tf, kernels } = engine
const network = buildNetwork(
  {
    architecture: 'simple-cnn',
    depth: 5,
    width: 0.25,
    inputSize: 12,
    channels: 1,
    resize: 'stretch'
  },
  { classes: 4, scale: 1 / 64, zeroPoint: 100 }
)
const weights = trainedWeights(network, 3)
const source = labelledSource({ count: 64 })

/** All images as one eager batch, [n, h, w, c]. */
const allImages = () => {
  const pixels = new Uint8Array(source.count * 144)
  source.read(
    Array.from({ length: source.count }, (_, i) => i),
    pixels
  )
  return tf.tensor4d(Float32Array.from(pixels), [source.count, 12, 12, 1])
}

const shapes = new Map(
  network.nodes.flatMap(({ params }) =>
    Object.values(params).map((p) => [p.name, p.shape] as const)
  )
)
const tensors = (values: Weights) =>
  new Map(
    [...values].map(
      ([name, data]) => [name, tf.tensor(data, [...(shapes.get(name) ?? [])])] as const
    )
  )

test('predict() gives the probabilities of the eager forward pass', async () => {
  const received = await predict({ engine, network, weights, source })
  const expected = tf.tidy(() => {
    const context = { training: false, seed: undefined }
    const values = forwardAll(network, kernels, tensors(weights), allImages(), context)
    return values.get(network.output)?.dataSync() as Float32Array
  })
  assertClose(received, expected, 1e-5)
})

test('estimateBatchNorm() pools the statistics of all images', async () => {
  const estimated = await estimateBatchNorm({
    engine,
    network,
    weights,
    source,
    images: 64,
    seed: 1
  })
  const first = network.nodes.find(({ op }) => op === 'batchNorm')
  assert.ok(first?.params.mean && first.params.variance && first.inputs[0])
  const [mean, variance] = tf.tidy(() => {
    const context = { training: false, seed: undefined }
    const values = forwardAll(network, kernels, tensors(weights), allImages(), context)
    const input = values.get(first.inputs[0] as string)
    assert.ok(input)
    const moments = tf.moments(input, [0, 1, 2])
    return [moments.mean.dataSync(), moments.variance.dataSync()] as Float32Array[]
  })
  assertClose(estimated.get(first.params.mean.name) ?? [], mean ?? [], 1e-3)
  assertClose(estimated.get(first.params.variance.name) ?? [], variance ?? [], 1e-2)
  for (const { name, trainable } of parametersOf(network)) {
    if (trainable) assert.deepEqual(estimated.get(name), weights.get(name), name)
  }
})

test('meanGradients() points where the loss falls', async () => {
  const gradients = await meanGradients({ engine, network, weights, source, images: 64, seed: 1 })
  const loss = async (values: Weights): Promise<number> => {
    const probabilities = await predict({ engine, network, weights: values, source })
    let sum = 0
    for (const [i, label] of source.labels.entries()) {
      sum -= Math.log(Math.max(1e-12, probabilities[i * 4 + label] ?? 0))
    }
    return sum / source.count
  }
  // A step along one kernel changes the loss as its gradient foretells (first order).
  const kernel = network.nodes.findLast(({ op }) => op === 'dense')?.params.kernel?.name ?? ''
  const gradient = gradients.get(kernel)
  assert.ok(gradient)
  const norm = gradient.reduce((sum, g) => sum + g * g, 0)
  const moved = (step: number): Weights => {
    const values = weights.get(kernel) as Float32Array
    return new Map(weights).set(
      kernel,
      values.map((w, i) => w - step * (gradient[i] ?? 0))
    )
  }
  const step = 1e-2 / Math.sqrt(norm)
  const fall = (await loss(moved(-step))) - (await loss(moved(step)))
  assert.ok(fall > 0, `${fall}`)
  const foretold = 2 * step * norm
  assert.ok(Math.abs(fall / foretold - 1) < 0.1, `fell by ${fall}, foretold ${foretold}`)
})
