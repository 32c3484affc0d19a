/** Initial weights: their distribution, and that each depends on its own name only. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { initialWeights } from '../../../src/network/initialize.ts'
import { builtNetwork, classifierOf, sketchNode } from '../../support/networks.ts'

const moments = (values: Float32Array) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, deviation: Math.sqrt(variance) }
}

test('kernels follow He: zero mean, deviation sqrt(2 / fan in)', () => {
  const weights = initialWeights(builtNetwork(), 7)
  const kernel = weights.get('stage3-block2-conv1/kernel') as Float32Array
  const { mean, deviation } = moments(kernel)
  const expected = Math.sqrt(2 / (9 * 64))
  // Four standard errors of 36,864 draws.
  assert.ok(Math.abs(mean) < (4 * expected) / Math.sqrt(kernel.length), `${mean}`)
  assert.ok(Math.abs(deviation / expected - 1) < 4 / Math.sqrt(2 * kernel.length), `${deviation}`)
})

test('the fan in of a depthwise kernel is its window', () => {
  const depthwise = sketchNode({
    id: 'x',
    op: 'depthwiseConv2d',
    attrs: { stride: 1, padding: 'same' },
    shapes: { kernel: [3, 3, 512, 1] }
  })
  const weights = initialWeights(classifierOf([4, 4, 512], [depthwise]), 7)
  const { deviation } = moments(weights.get('x/kernel') as Float32Array)
  assert.ok(Math.abs(deviation / Math.sqrt(2 / 9) - 1) < 0.05, `${deviation}`)
})

test('dense kernels follow Glorot: uniform within sqrt(6 / (fan in + fan out))', () => {
  const weights = initialWeights(builtNetwork({ architecture: 'simple-cnn' }), 7)
  const limit = Math.sqrt(6 / (4 * 4 * 128 + 128))
  const kernel = weights.get('dense/kernel') as Float32Array
  const largest = kernel.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  assert.ok(largest <= limit && largest > 0.999 * limit, `${largest}`)
})

test('batch norm begins as the identity, biases at zero', () => {
  const weights = initialWeights(builtNetwork(), 7)
  for (const [role, value] of Object.entries({ gamma: 1, beta: 0, mean: 0, variance: 1 })) {
    assert.ok(
      weights.get(`stem-norm/${role}`)?.every((item) => item === value),
      role
    )
  }
  assert.ok(weights.get('classifier/bias')?.every((item) => item === 0))
})

test('a seed and a name decide; other layers do not matter', () => {
  const shallow = initialWeights(builtNetwork({ depth: 8 }), 7)
  const deep = initialWeights(builtNetwork({ depth: 20 }), 7)
  for (const [name, values] of shallow) assert.deepEqual(deep.get(name), values, name)
  const other = initialWeights(builtNetwork({ depth: 8 }), 8)
  assert.notDeepEqual(other.get('stem/kernel'), shallow.get('stem/kernel'))
  const equal = 'stage1-block1-conv1/kernel'
  assert.notDeepEqual(shallow.get(equal), shallow.get('stage1-block1-conv2/kernel'))
})
