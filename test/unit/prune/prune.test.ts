import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { macs, parameters } from '../../../src/network/cost.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { validateNetwork, validateWeights } from '../../../src/network/validate.ts'
import { pruneChannels } from '../../../src/prune/prune.ts'
import { randomNetwork } from '../../support/random-network.ts'

const resnet = buildNetwork(
  {
    architecture: 'resnet-cifar',
    depth: 20,
    width: 1,
    inputSize: 32,
    channels: 3,
    resize: 'stretch'
  },
  { classes: 10, scale: 1 / 64, zeroPoint: 120 }
)
const weights = initialWeights(resnet, 1)
const options = { macs: 0.6, roundTo: 16, criterion: 'l2' } as const

test('pruneChannels() rejects options out of range', () => {
  for (const bad of [{ macs: 0 }, { macs: 1.1 }, { roundTo: 0 }, { roundTo: 1.5 }]) {
    assert.throws(() => pruneChannels(resnet, weights, { ...options, ...bad }), RangeError)
  }
  const criterion = 'random' as 'l2'
  assert.throws(() => pruneChannels(resnet, weights, { ...options, criterion }), RangeError)
  assert.throws(() => pruneChannels(resnet, new Map(), options), TypeError)
})

test('pruneChannels() to all of the MACs changes nothing', () => {
  const pruned = pruneChannels(resnet, weights, { ...options, macs: 1 })
  assert.deepEqual(pruned.network, resnet)
  assert.deepEqual(pruned.weights, weights)
  assert.ok(pruned.report.groups.every(({ before, after }) => before === after))
  assert.equal(pruned.report.reached, true)
})

test('pruneChannels() shrinks the insides of wide blocks before a stage is narrowed', () => {
  const { report } = pruneChannels(resnet, weights, { ...options, macs: 0.7 })
  const narrowed = report.groups.filter(({ before, after }) => after < before)
  assert.ok(narrowed.length > 0)
  for (const { nodes, after } of narrowed) {
    assert.match(nodes.join(), /^stage[23]-block[123]-conv1$/)
    assert.equal(after % 16, 0)
  }
})

test('pruneChannels() says when the floors do not allow the target', () => {
  const { report } = pruneChannels(resnet, weights, { ...options, macs: 0.05 })
  assert.equal(report.reached, false)
  assert.ok(report.macs.after > report.macs.target)
  assert.ok(report.groups.every(({ after }) => after === 16))
})

test('pruneChannels() keeps the channels with the larger kernels', () => {
  const scaled = new Map(weights)
  const kernel = (weights.get('stage3-block1-conv1/kernel') as Float32Array).slice()
  for (let i = 0; i < kernel.length; i++) if (i % 64 < 48) kernel[i] = 1e-3 * (kernel[i] as number)
  scaled.set('stage3-block1-conv1/kernel', kernel)
  const reading = (weights.get('stage3-block1-conv2/kernel') as Float32Array).slice()
  for (let i = 0; i < reading.length; i++) {
    if (Math.floor(i / 64) % 64 < 48) reading[i] = 1e-3 * (reading[i] as number)
  }
  scaled.set('stage3-block1-conv2/kernel', reading)
  const pruned = pruneChannels(resnet, scaled, { ...options, macs: 0.94 })
  const group = pruned.report.groups.find(({ nodes }) => nodes[0] === 'stage3-block1-conv1')
  assert.equal(group?.after, 16)
  const kept = pruned.weights.get('stage3-block1-conv1/kernel') as Float32Array
  const expected = kernel.filter((_, i) => i % 64 >= 48)
  assert.deepEqual(kept, expected)
})

test('pruneChannels() gives valid networks with the counts it reports, whatever the graph', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 100_000 }),
      fc.double({ min: 0.1, max: 0.9, noNaN: true }),
      fc.constantFrom(1, 2, 4),
      fc.constantFrom('l2' as const, 'batch-norm-scale' as const, 'taylor' as const),
      (seed, share, roundTo, criterion) => {
        const { network, weights: before } = randomNetwork(seed)
        const gradients = initialWeights(network, seed + 1)
        const input = { macs: share, roundTo, criterion, gradients }
        const pruned = pruneChannels(network, before, input)
        validateNetwork(pruned.network)
        validateWeights(pruned.network, pruned.weights)
        const { report } = pruned
        assert.equal(report.macs.before, macs(network))
        assert.equal(report.macs.after, macs(pruned.network))
        assert.equal(report.parameters.after, parameters(pruned.network))
        assert.equal(report.reached, report.macs.after <= report.macs.target)
        const values = [...pruned.weights.values()].reduce((sum, v) => sum + v.length, 0)
        const shapes = new Map(
          pruned.network.nodes.flatMap(({ params }) =>
            Object.values(params).map(({ name, shape }) => [name, shape] as const)
          )
        )
        const expected = [...shapes.values()].reduce(
          (sum, shape) => sum + shape.reduce((product, side) => product * side, 1),
          0
        )
        assert.equal(values, expected)
      }
    ),
    { numRuns: 100 }
  )
})
