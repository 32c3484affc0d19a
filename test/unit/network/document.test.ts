/** graph.json and weights.safetensors: they come back as written, and nothing unsound is read. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readNetwork, writeNetwork, writeWeights } from '../../../src/network/document.ts'
import { readSafetensors } from '../../../src/network/safetensors.ts'
import { builtNetwork, trainedWeights } from '../../support/networks.ts'

const network = builtNetwork({ depth: 8 })
const weights = trainedWeights(network, 1)

describe('graph.json', () => {
  test('comes back as written', () => {
    for (const architecture of ['simple-cnn', 'resnet-cifar'] as const) {
      const built = builtNetwork({ architecture })
      assert.deepEqual(readNetwork(writeNetwork(built)), built)
    }
  })

  for (const [what, change, message] of [
    ['another format', { format: 'whittle-network-2' }, /at '\/format'/],
    ['a member of another kind', { nodes: {} }, /at '\/nodes'/],
    ['no nodes', { nodes: [] }, /at '\/nodes'/],
    ['an unknown member', { nodes: [{ ...network.nodes[0], code: '' }] }, /at '\/nodes\/0\/code'/],
    ['an unknown op', { nodes: [{ ...network.nodes[0], op: 'lambda' }] }, /at '\/nodes\/0\/op'/],
    ['a graph that does not fit together', { nodes: network.nodes.slice(1) }, /earlier node/]
  ] as const) {
    test(`${what} is refused`, () => {
      const text = JSON.stringify({ ...network, ...change })
      assert.throws(() => readNetwork(text), { name: 'RangeError', message })
    })
  }

  test('what is not JSON is refused', () => {
    assert.throws(() => readNetwork('{'), { name: 'RangeError', message: /it must be JSON/ })
  })
})

describe('weights.safetensors', () => {
  test('holds every parameter under its name, with shape and metadata', () => {
    const read = readSafetensors(writeWeights(network, weights, { version: '0.1.0' }))
    assert.deepEqual(read.metadata, { version: '0.1.0' })
    assert.deepEqual(new Set(read.tensors.keys()), new Set(weights.keys()))
    for (const [name, values] of weights) assert.deepEqual(read.tensors.get(name)?.data, values)
    assert.deepEqual(read.tensors.get('stem/kernel')?.shape, [3, 3, 3, 16])
  })

  test('weights of another network are refused', () => {
    assert.throws(() => writeWeights(builtNetwork({ depth: 14 }), weights), /received nothing/)
  })
})
