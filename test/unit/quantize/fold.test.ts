import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Network, Node } from '../../../src/network/graph.ts'
import type { OpName } from '../../../src/network/op.ts'
import { foldActivations } from '../../../src/quantize/fold-activations.ts'
import { foldBatchNorm } from '../../../src/quantize/fold-batch-norm.ts'
import { withoutDropout } from '../../../src/quantize/rewire.ts'
import { scaleGroups } from '../../../src/quantize/shared-scale.ts'

const node = (id: string, op: OpName, inputs: string[], more: Partial<Node> = {}): Node => ({
  id,
  op,
  inputs,
  attrs: {},
  params: {},
  ...more
})
const network = (nodes: Node[]): Network => ({
  format: 'whittle-network-1',
  input: { id: 'images', shape: [4, 4, 1], scale: 1, zeroPoint: 0 },
  nodes,
  output: nodes.at(-1)?.id ?? ''
})
const ids = ({ nodes }: Network) => nodes.map(({ id, inputs }) => `${id}(${inputs})`)
const norm = (id: string, input: string, c: number) =>
  node(id, 'batchNorm', [input], {
    attrs: { epsilon: 0.5 },
    params: Object.fromEntries(
      ['gamma', 'beta', 'mean', 'variance'].map((r) => [r, { name: `${id}/${r}`, shape: [c] }])
    )
  })
const statistics = (id: string): [string, Float32Array][] => [
  [`${id}/gamma`, Float32Array.of(2, 3)],
  [`${id}/beta`, Float32Array.of(10, 20)],
  [`${id}/mean`, Float32Array.of(1, -1)],
  [`${id}/variance`, Float32Array.of(3.5, 8.5)] // + epsilon: 4 and 9
]
const dense = (id: string, input: string) =>
  node(id, 'dense', [input], { params: { kernel: { name: `${id}/kernel`, shape: [1, 2] } } })

describe('foldBatchNorm()', () => {
  it('scales kernels and makes a bias, computed by hand', () => {
    const given = network([dense('a', 'images'), norm('n', 'a', 2), node('p', 'softmax', ['n'])])
    const weights = new Map([['a/kernel', Float32Array.of(5, 7)], ...statistics('n')])
    const folded = foldBatchNorm({ network: given, weights })
    assert.deepEqual(ids(folded.network), ['a(images)', 'p(a)'])
    assert.deepEqual([...folded.weights.keys()].sort(), ['a/bias', 'a/kernel'])
    // factors 2/2 = 1 and 3/3 = 1; bias = beta - mean
    assert.deepEqual(folded.weights.get('a/kernel'), Float32Array.of(5, 7))
    assert.deepEqual(folded.weights.get('a/bias'), Float32Array.of(9, 21))
    assert.deepEqual(folded.network.nodes[0]?.params.bias, { name: 'a/bias', shape: [2] })
    assert.equal(weights.has('n/gamma'), true) // the given weights are left alone
  })
  it('includes a bias that is there', () => {
    const withBias = node('a', 'dense', ['images'], {
      params: {
        kernel: { name: 'a/kernel', shape: [1, 2] },
        bias: { name: 'b', shape: [2] }
      }
    })
    const weights = new Map([
      ['a/kernel', Float32Array.of(5, 7)],
      ['b', Float32Array.of(4, 4)],
      ...statistics('n')
    ])
    const folded = foldBatchNorm({ network: network([withBias, norm('n', 'a', 2)]), weights })
    assert.deepEqual(folded.weights.get('b'), Float32Array.of(13, 25))
    assert.equal(folded.network.output, 'a')
  })
  it('leaves a batch norm whose producer has other readers, or is no layer', () => {
    const nodes = [
      dense('a', 'images'),
      norm('n', 'a', 2),
      node('s', 'add', ['n', 'a']),
      norm('m', 's', 2)
    ]
    const weights = new Map([
      ['a/kernel', Float32Array.of(5, 7)],
      ...statistics('n'),
      ...statistics('m')
    ])
    const folded = foldBatchNorm({ network: network(nodes), weights })
    assert.deepEqual(ids(folded.network), ['a(images)', 'n(a)', 's(n,a)', 'm(s)'])
    assert.deepEqual(folded.weights, weights)
  })
})

describe('foldActivations()', () => {
  it('gives the node before the range of the activation', () => {
    const folded = foldActivations(
      network([
        node('a', 'conv2d', ['images']),
        node('r', 'relu', ['a']),
        node('b', 'conv2d', ['r']),
        node('s', 'add', ['b', 'r']),
        node('t', 'relu6', ['s']),
        node('p', 'globalAvgPool', ['t'])
      ])
    )
    assert.deepEqual(ids(folded.network), ['a(images)', 'b(a)', 's(b,a)', 'p(s)'])
    assert.deepEqual(Object.fromEntries(folded.rangeFrom), { a: 'r', b: 'b', s: 't', p: 'p' })
  })
  it('keeps an activation whose input is read elsewhere or only moved', () => {
    const nodes = [
      node('a', 'conv2d', ['images']),
      node('r', 'relu', ['a']),
      node('s', 'add', ['a', 'r']),
      node('m', 'maxPool', ['s']),
      node('q', 'relu', ['m']),
      node('z', 'relu', ['images'])
    ]
    assert.deepEqual(ids(foldActivations(network(nodes)).network), ids(network(nodes)))
  })
})

describe('withoutDropout()', () => {
  it('removes chains of it, also at the end', () => {
    const nodes = [
      dense('a', 'images'),
      node('d', 'dropout', ['a']),
      node('e', 'dropout', ['d']),
      dense('b', 'e'),
      node('f', 'dropout', ['b'])
    ]
    const without = withoutDropout(network(nodes))
    assert.deepEqual(ids(without), ['a(images)', 'b(a)'])
    assert.equal(without.output, 'b')
  })
})

describe('scaleGroups()', () => {
  it('ties what is only moved: pooling, flattening, and the parts of a concat', () => {
    const groups = scaleGroups(
      network([
        node('a', 'conv2d', ['images']),
        node('b', 'conv2d', ['a']),
        node('c', 'concat', ['a', 'b']),
        node('m', 'maxPool', ['c']),
        node('d', 'conv2d', ['m'])
      ])
    )
    assert.equal(new Set(['a', 'b', 'c', 'm'].map((id) => groups.get(id))).size, 1)
    assert.notEqual(groups.get('d'), groups.get('m'))
    assert.notEqual(groups.get('images'), groups.get('a'))
  })
  it('gives pooled images the scale of the images, but does not force it on a concat', () => {
    const groups = scaleGroups(
      network([
        node('m', 'maxPool', ['images']),
        node('a', 'conv2d', ['m']),
        node('c', 'concat', ['m', 'a'])
      ])
    )
    assert.equal(groups.get('m'), 'images')
    assert.equal(groups.get('c'), 'c')
    assert.equal(groups.get('a'), 'a')
  })
})
