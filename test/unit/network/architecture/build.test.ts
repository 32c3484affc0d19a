/** Architectures against their papers, and choices that cannot be built. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildNetwork } from '../../../../src/network/architecture/build.ts'
import { scaledWidth } from '../../../../src/network/architecture/layers.ts'
import { activationBytes, macs, parameters, weightBytes } from '../../../../src/network/cost.ts'
import type { Network } from '../../../../src/network/graph.ts'
import { inferShapes } from '../../../../src/network/shapes.ts'
import { builtNetwork, choice, inputOptions } from '../../../support/networks.ts'

describe('resnet-cifar', () => {
  // He et al. 2015, table 6, in millions; their shortcuts have no parameters (option A).
  for (const [depth, millions] of [
    [20, 0.27],
    [32, 0.46],
    [56, 0.85]
  ] as const) {
    test(`ResNet-${depth} has the paper's ${millions} M parameters`, () => {
      const network = builtNetwork({ depth })
      const own = parameters(network) - shortcutParameters(network)
      assert.equal((own / 1e6).toFixed(2), millions.toFixed(2))
      assert.ok(Math.abs(parameters(network) / 1e6 - millions) < 0.01)
    })
  }

  test('ResNet-20 costs what layer-by-layer arithmetic says', () => {
    const [first, stage1, stage2, stage3] = [
      32 * 32 * 9 * 3 * 16,
      6 * 32 * 32 * 9 * 16 * 16,
      16 * 16 * (9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32),
      8 * 8 * (9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64)
    ] as const
    assert.equal(macs(builtNetwork()), first + stage1 + stage2 + stage3 + 640)
  })

  test('a stage halves the sides and doubles the widths', () => {
    const shapes = inferShapes(builtNetwork({ inputSize: 33 }))
    assert.deepEqual(shapes.get('stage1-block3-relu2'), [33, 33, 16])
    assert.deepEqual(shapes.get('stage2-block3-relu2'), [17, 17, 32])
    assert.deepEqual(shapes.get('stage3-block3-relu2'), [9, 9, 64])
    assert.deepEqual(shapes.get('probabilities'), [10])
  })
})

describe('simple-cnn', () => {
  test('costs what layer-by-layer arithmetic says', () => {
    const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 28, channels: 1 })
    const kernels = 9 * 32 + 9 * 32 * 64 + 9 * 64 * 128 + 3 * 3 * 128 * 128 + 128 * 10
    assert.equal(parameters(network), kernels + 2 * (32 + 64 + 128 + 128) + 10)
    assert.equal(weightBytes(network), 4 * (parameters(network) + 2 * (32 + 64 + 128 + 128)))
    const convolutions = 28 * 28 * 9 * 32 + 14 * 14 * 9 * 32 * 64 + 7 * 7 * 9 * 64 * 128
    assert.equal(macs(network), convolutions + 3 * 3 * 128 * 128 + 128 * 10)
  })

  test('activations of one image are counted in bytes', () => {
    const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 8, channels: 1 })
    const maps = 3 * (8 * 8 * 32 + 4 * 4 * 64 + 2 * 2 * 128)
    const pools = 4 * 4 * 32 + 2 * 2 * 64 + 128
    assert.equal(activationBytes(network), 4 * (64 + maps + pools + 128 + 4 * 128 + 2 * 10))
  })
})

test('widths are multiples of 8, at least 8', () => {
  assert.deepEqual(
    [0.125, 0.5, 0.7, 1, 1.3, 2].map((multiplier) => scaledWidth(16, multiplier)),
    [8, 8, 8, 16, 24, 32]
  )
  for (const width of [0.125, 0.4, 1.9]) {
    for (const architecture of ['simple-cnn', 'resnet-cifar'] as const) {
      const network = builtNetwork({ architecture, width })
      for (const { op, params } of network.nodes) {
        if (op === 'conv2d') assert.equal((params.kernel?.shape[3] as number) % 8, 0)
      }
    }
  }
})

describe('refuses', () => {
  for (const [changes, message] of [
    [{ depth: 21 }, /depth must be 6n\+2, received 21/],
    [{ depth: 2 }, /depth must be 6n\+2, received 2/],
    [{ inputSize: 7 }, /inputSize must be an integer of at least 8, received 7/],
    [{ inputSize: 8.5 }, /inputSize/],
    [{ width: 0 }, /width must be positive, received 0/],
    [{ architecture: 'vgg' as never }, /there is no such architecture, received "vgg"/]
  ] as const) {
    test(JSON.stringify(changes), () => {
      assert.throws(() => builtNetwork(changes), { name: 'RangeError', message })
    })
  }

  test('a single class, a zero scale', () => {
    assert.throws(() => buildNetwork(choice, { ...inputOptions, classes: 1 }), /classes must be/)
    assert.throws(() => buildNetwork(choice, { ...inputOptions, scale: 0 }), /scale must be/)
  })
})

const shortcutParameters = ({ nodes }: Network): number =>
  nodes
    .filter(({ id }) => id.includes('-shortcut'))
    .flatMap(({ params }) => Object.entries(params))
    .filter(([role]) => role !== 'mean' && role !== 'variance')
    .reduce((sum, [, { shape }]) => sum + shape.reduce((product, side) => product * side, 1), 0)
