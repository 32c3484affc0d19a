/** What is measured over images with fixed weights, against the same numbers worked out directly. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { ImageSource } from '../../../src/image/source.ts'
import { forward, forwardAll } from '../../../src/network/forward.ts'
import type { Network, Weights } from '../../../src/network/graph.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { estimateBatchNorm } from '../../../src/train/estimate-batch-norm.ts'
import { meanGradients } from '../../../src/train/mean-gradients.ts'
import { parametersOf } from '../../../src/train/parameters.ts'
import { predict } from '../../../src/train/predict.ts'
import { assertClose } from '../../support/close.ts'
import { labelledSource } from '../../support/labelled-source.ts'
import { builtNetwork, classifierOf, sketchNode, trainedWeights } from '../../support/networks.ts'

const engine = await loadEngine('tensorflow', { threads: 2 })
const { tf, kernels } = engine
const network = builtNetwork({ architecture: 'resnet-cifar', depth: 8, inputSize: 12, width: 0.5 })
const source = labelledSource({ count: 40, size: 12, channels: 3, classes: 10 })
const weights = trainedWeights(network, 6)

const tensorsOf = (of: Network, values: Weights) =>
  new Map(
    parametersOf(of).map(({ name, shape }) => [
      name,
      tf.tensor(values.get(name) as Float32Array, [...shape])
    ])
  )

/** All images of a source, in order, as float32 pixels. */
const pixelsOf = ({ count, size, channels, read }: ImageSource) => {
  const pixels = new Uint8Array(count * size * size * channels)
  read(
    Array.from({ length: count }, (_, i) => i),
    pixels
  )
  return tf.tensor4d(Float32Array.from(pixels), [count, size, size, channels])
}

const answer = { training: false, seed: undefined }

test('predict() gives the probabilities of the plain forward pass, in order', async () => {
  const expected = forward(network, kernels, tensorsOf(network, weights), pixelsOf(source), answer)
  const received = await predict({ engine, network, weights, source })
  assertClose(received, expected.probabilities.dataSync(), 1e-5)
})

test('meanGradients() is the gradient of the mean loss over the images', async () => {
  const parameters = parametersOf(network)
  const trainable = parameters.filter((parameter) => parameter.trainable)
  const given = tensorsOf(network, weights)
  const targets = tf.cast(tf.oneHot(tf.tensor1d(source.labels, 'int32'), 10), 'float32')
  const expected = tf.grads((...values: Tensor[]) => {
    const named = trainable.map(({ name }, i) => [name, values[i] as Tensor] as const)
    const params = new Map([...given, ...named])
    const { logits } = forward(network, kernels, params, pixelsOf(source), answer)
    return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)))
  })(trainable.map(({ name }) => given.get(name) as Tensor))
  const received = await meanGradients({ engine, network, weights, source, images: 40, seed: 1 })
  assert.deepEqual([...received.keys()].sort(), trainable.map(({ name }) => name).sort())
  for (const [i, { name }] of trainable.entries()) {
    assertClose(received.get(name) ?? [], (expected[i] as Tensor).dataSync(), 1e-4, name)
  }
})

test('estimateBatchNorm() measures mean and variance of what reaches each batch norm', async () => {
  const shape = [12, 12, 3] as const
  const one = classifierOf(shape, [
    sketchNode({
      id: 'a',
      op: 'conv2d',
      attrs: { stride: 2, padding: 'same' },
      shapes: { kernel: [3, 3, 3, 4] }
    }),
    sketchNode({
      id: 'n',
      op: 'batchNorm',
      inputs: ['a'],
      attrs: { epsilon: 1e-3 },
      shapes: { gamma: [4], beta: [4], mean: [4], variance: [4] }
    })
  ])
  const before = trainedWeights(one, 2)
  // 256 images are two batches, whose statistics have to be pooled.
  const many = labelledSource({ count: 256, size: 12, channels: 3, classes: 3 })
  const params = tensorsOf(one, before)
  const reached = forwardAll(one, kernels, params, pixelsOf(many), answer).get('a') as Tensor
  const { mean, variance } = tf.moments(reached, [0, 1, 2])
  const sample = { source: many, images: 256, seed: 1 }
  const after = await estimateBatchNorm({ engine, network: one, weights: before, ...sample })
  assertClose(after.get('n/mean') ?? [], mean.dataSync(), 1e-4)
  assertClose(after.get('n/variance') ?? [], variance.dataSync(), 1e-3)
  for (const [name, values] of before) {
    if (!/mean|variance/.test(name)) assert.equal(after.get(name), values, name)
  }
})

test('estimates leave no tensors behind', async () => {
  const before = engine.tensorCount()
  const sample = { engine, network, weights, source, images: 40, seed: 1 }
  await meanGradients(sample)
  await estimateBatchNorm(sample)
  await predict(sample)
  assert.equal(engine.tensorCount(), before)
})

test('estimates end between batches when they are told to, and leave no tensors behind', async () => {
  const before = engine.tensorCount()
  for (const estimate of [meanGradients, estimateBatchNorm]) {
    let batches = 0
    const beforeBatch = async () => {
      if (++batches === 2) throw new Error('enough')
    }
    const many = labelledSource({ count: 400, size: 12, channels: 3, classes: 10 })
    const sample = { engine, network, weights, source: many, images: 400, seed: 1, beforeBatch }
    await assert.rejects(estimate(sample), /enough/)
    assert.equal(batches, 2)
  }
  assert.equal(engine.tensorCount(), before)
})
