import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { layers } from '../../../src/network/architecture/layers.ts'
import type { Network } from '../../../src/network/graph.ts'
import { traceChannels } from '../../../src/network/trace-channels.ts'

const input = { size: 8, channels: 3, classes: 2, scale: 1, zeroPoint: 0 }
const conv = { size: 3, stride: 1 }
const groupsOf = (network: Network) =>
  traceChannels(network).groups.map(({ nodes, units }) => [nodes.join(' '), units.length])

test('traceChannels() gives a plain network one group a layer and leaves the classes alone', () => {
  const choice = {
    architecture: 'simple-cnn',
    depth: 5,
    width: 1,
    inputSize: 8,
    channels: 3
  } as const
  const network = buildNetwork(
    { ...choice, resize: 'stretch' },
    { classes: 4, scale: 1, zeroPoint: 0 }
  )
  assert.deepEqual(groupsOf(network), [
    ['conv1', 32],
    ['conv2', 64],
    ['conv3', 128],
    ['dense', 128]
  ])
})

test('traceChannels() ties the channels of a whole residual stage', () => {
  const choice = {
    architecture: 'resnet-cifar',
    depth: 14,
    width: 1,
    inputSize: 8,
    channels: 3
  } as const
  const network = buildNetwork(
    { ...choice, resize: 'stretch' },
    { classes: 4, scale: 1, zeroPoint: 0 }
  )
  const groups = groupsOf(network)
  assert.deepEqual(groups[0], ['stem stage1-block1-conv2 stage1-block2-conv2', 16])
  assert.deepEqual(groups[1], ['stage1-block1-conv1', 16])
  assert.deepEqual(groups[4], [
    'stage2-block1-conv2 stage2-block1-shortcut stage2-block2-conv2',
    32
  ])
  assert.equal(groups.length, 9)
})

test('traceChannels() follows every position of a flattened tensor', () => {
  const build = layers(input)
  const x = build.conv('conv', build.images, { ...conv, filters: 5 })
  const network = build.classify(build.add('flat', 'flatten', [x]), 2)
  const { groups, cuts } = traceChannels(network)
  const [group] = groups
  const rows = cuts.find(({ parameter, axis }) => parameter === 'classifier/kernel' && axis === 0)
  assert.equal(rows?.units.length, 8 * 8 * 5)
  assert.deepEqual(rows?.units.slice(5, 10), group?.units)
})

test('traceChannels() ties a depthwise convolution to its input, each channel multiplier times', () => {
  const build = layers(input)
  const x = build.conv('conv', build.images, { ...conv, filters: 3 })
  const shapes = { kernel: [3, 3, 3, 2], bias: [6] }
  const attrs = { stride: 1, padding: 'same' }
  const y = build.add('depthwise', 'depthwiseConv2d', [x], { attrs, shapes })
  const network = build.classify(build.add('pool', 'globalAvgPool', [y]), 2)
  const { groups, cuts } = traceChannels(network)
  assert.equal(groups.length, 1)
  const [a, b, c] = groups[0]?.units ?? []
  const bias = cuts.find(({ parameter }) => parameter === 'depthwise/bias')
  assert.deepEqual([...(bias?.units ?? [])], [a, a, b, b, c, c])
})

test('traceChannels() splits an addition onto a concatenation where its parts meet', () => {
  const build = layers(input)
  const a = build.conv('a', build.images, { ...conv, filters: 2 })
  const b = build.conv('b', build.images, { ...conv, filters: 3 })
  const c = build.conv('c', build.images, { ...conv, filters: 5 })
  const sum = build.add('sum', 'add', [build.add('joined', 'concat', [a, b]), c])
  const network = build.classify(build.add('pool', 'globalAvgPool', [sum]), 2)
  assert.deepEqual(groupsOf(network), [
    ['a c', 2],
    ['b c', 3]
  ])
})

test('traceChannels() fixes channels that are added to the image', () => {
  const build = layers(input)
  const same = build.conv('same', build.images, { ...conv, filters: 3 })
  const sum = build.add('sum', 'add', [same, build.images])
  const network = build.classify(build.add('pool', 'globalAvgPool', [sum]), 2)
  assert.deepEqual(groupsOf(network), [])
})

test('traceChannels() ties the uses of a parameter that two nodes share', () => {
  const build = layers(input)
  const a = build.conv('a', build.images, { ...conv, filters: 4 })
  const b = build.conv('b', a, { ...conv, filters: 4 })
  const network = build.classify(build.add('pool', 'globalAvgPool', [b]), 2)
  const shared = network.nodes.map((node) =>
    node.id === 'b-norm' ? { ...node, params: network.nodes[1]?.params ?? {} } : node
  )
  assert.deepEqual(groupsOf(network), [
    ['a', 4],
    ['b', 4]
  ])
  assert.deepEqual(groupsOf({ ...network, nodes: shared }), [['a b', 4]])
})
