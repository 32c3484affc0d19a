/** What a graph may not be, one fault at a time. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Network, Node } from '../../../src/network/graph.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { validateNetwork, validateWeights } from '../../../src/network/validate.ts'
import { builtNetwork, classifierOf, sketchNode } from '../../support/networks.ts'

const conv = sketchNode({
  id: 'conv',
  op: 'conv2d',
  attrs: { stride: 1, padding: 'same' },
  shapes: { kernel: [3, 3, 1, 4] }
})
const sound = classifierOf(
  [5, 5, 1],
  [conv, sketchNode({ id: 'relu', op: 'relu', inputs: ['conv'] })]
)

const changed = (id: string, change: Partial<Node>): Network => ({
  ...sound,
  nodes: sound.nodes.map((node) => (node.id === id ? { ...node, ...change } : node))
})

const faults: readonly (readonly [string, Network, RegExp])[] = [
  ['an id twice', changed('relu', { id: 'conv' }), /ids must be unique, received "conv"/],
  ['the id of the input', changed('relu', { id: 'images' }), /ids must be unique/],
  [
    'an input that comes later',
    changed('conv', { inputs: ['relu'] }),
    /node 'conv' .* an input must be images or an earlier node, received "relu"/
  ],
  [
    'an unknown op',
    changed('relu', { op: 'gelu' as never }),
    /there is no such op, received "gelu"/
  ],
  ['an op of Object', changed('relu', { op: 'toString' as never }), /there is no such op/],
  ['shapes that do not fit', changed('end-dense', { inputs: ['conv'] }), /its input must be \[c\]/],
  [
    'an unknown parameter',
    changed('relu', { params: { slope: { name: 'relu/slope', shape: [4] } } }),
    /it has no such parameter, received "slope"/
  ],
  [
    'a parameter name twice',
    changed('end-dense', {
      params: { kernel: { name: 'conv/kernel', shape: [100, 3] } }
    }),
    /parameter names must be unique, received "conv\/kernel"/
  ],
  [
    'an output that is no softmax',
    { ...sound, output: 'relu' },
    /must be a softmax node, received relu/
  ],
  ['an output that is not there', { ...sound, output: 'x' }, /received nothing/],
  [
    'a node that nobody reads',
    { ...sound, nodes: [...sound.nodes, sketchNode({ id: 'idle', op: 'relu' })] },
    /node 'idle' .* some node must read its output/
  ],
  [
    'an empty image',
    { ...sound, input: { ...sound.input, shape: [0, 5, 1] } },
    /shape must be \[h, w, c\], received \[0,5,1\]/
  ],
  ['a scale of zero', { ...sound, input: { ...sound.input, scale: 0 } }, /scale must be positive/],
  [
    'a zero point outside of uint8',
    { ...sound, input: { ...sound.input, zeroPoint: 256 } },
    /zero point must be an integer 0\.\.255, received 256/
  ]
]

describe('validateNetwork', () => {
  test('accepts what is sound', () => {
    validateNetwork(sound)
    validateNetwork(builtNetwork())
  })

  for (const [name, network, message] of faults) {
    test(`refuses ${name}`, () => {
      assert.throws(() => validateNetwork(network), { name: 'RangeError', message })
    })
  }
})

describe('validateWeights', () => {
  const weights = initialWeights(sound, 1)

  test('accepts the weights of the network', () => validateWeights(sound, weights))

  test('refuses a missing one', () => {
    const less = new Map([...weights].filter(([name]) => name !== 'conv/kernel'))
    assert.throws(
      () => validateWeights(sound, less),
      /'conv\/kernel' must have 36 values, received nothing/
    )
  })

  test('refuses one of another size', () => {
    const other = new Map([...weights, ['conv/kernel', new Float32Array(35)]])
    assert.throws(() => validateWeights(sound, other), /must have 36 values, received 35/)
  })

  test('refuses one too many', () => {
    const more = new Map([...weights, ['x', new Float32Array(1)]])
    assert.throws(() => validateWeights(sound, more), /received 'x'/)
  })
})
