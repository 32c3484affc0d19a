import assert from 'node:assert/strict'
import { test } from 'node:test'
import { layers } from '../../../src/network/architecture/layers.ts'
import { traceChannels } from '../../../src/network/trace-channels.ts'
import { batchNormScale } from '../../../src/prune/criterion/batch-norm-scale.ts'
import { l2 } from '../../../src/prune/criterion/l2.ts'
import { taylor } from '../../../src/prune/criterion/taylor.ts'
import type { Criterion } from '../../../src/prune/criterion.ts'
import { scoreGroups } from '../../../src/prune/score.ts'

// images [2, 2, 1] → conv 1x1 to 2 channels → batch norm → global pool → classifier 2x2.
const build = layers({ size: 2, channels: 1, classes: 2, scale: 1, zeroPoint: 0 })
const conv = build.conv('conv', build.images, { filters: 2, size: 1, stride: 1 })
const network = build.classify(build.add('pool', 'globalAvgPool', [conv]), 2)
const weights = new Map([
  ['conv/kernel', Float32Array.of(3, 1)],
  ['conv-norm/gamma', Float32Array.of(-2, 6)],
  ['conv-norm/beta', Float32Array.of(0, 1)],
  ['conv-norm/mean', Float32Array.of(0, 0)],
  ['conv-norm/variance', Float32Array.of(1, 1)],
  ['classifier/kernel', Float32Array.of(3, 4, 0, 5)],
  ['classifier/bias', Float32Array.of(0, 0)]
])
const trace = traceChannels(network)
const parameters = new Map(
  network.nodes.flatMap(({ params }) =>
    Object.values(params).map((ref) => [ref.name, ref] as const)
  )
)
const score = (criterion: Criterion, gradients?: Map<string, Float32Array>) => {
  const [scores] = scoreGroups(trace, criterion, { weights, gradients, parameters })
  return scores && [...scores].map((value) => Math.round(value * 1e6) / 1e6)
}

test('l2 adds the norms of the kernels that make and read a channel, as shares', () => {
  // conv: 3 and 1 of 4; classifier rows [3, 4] and [0, 5]: 5 and 5 of 10.
  assert.deepEqual(score(l2), [0.75 + 0.5, 0.25 + 0.5])
})

test('batchNormScale is the share of |gamma|', () => {
  assert.deepEqual(score(batchNormScale), [0.25, 0.75])
})

test('batchNormScale does not judge channels without batch norm', () => {
  const plain = layers({ size: 2, channels: 1, classes: 2, scale: 1, zeroPoint: 0 })
  const shapes = { kernel: [1, 1, 1, 2] }
  const attrs = { stride: 1, padding: 'same' }
  const x = plain.add('conv', 'conv2d', [plain.images], { attrs, shapes })
  const bare = plain.classify(plain.add('pool', 'globalAvgPool', [x]), 2)
  const scores = scoreGroups(traceChannels(bare), batchNormScale, {
    weights,
    gradients: undefined,
    parameters
  })
  assert.deepEqual(scores, [null])
})

test('taylor adds |sum of value times gradient| of every member, by hand', () => {
  const gradients = new Map([...weights].map(([name, v]) => [name, v.map(() => 0)]))
  gradients.set('conv-norm/gamma', Float32Array.of(1, 0.5))
  gradients.set('conv-norm/beta', Float32Array.of(9, -4))
  gradients.set('classifier/kernel', Float32Array.of(1, -1, 1, 1))
  // Factor and offset: |-2 + 0| and |3 - 4|; rows: |3 - 4| and |0 + 5|.
  assert.deepEqual(score(taylor, gradients), [2 + 1, 1 + 5])
})

test('scoreGroups() refuses to judge without the gradients or weights it needs', () => {
  assert.throws(() => score(taylor), /conv\/kernel.*gradients/)
  const without = { weights: new Map(), gradients: undefined, parameters }
  assert.throws(() => scoreGroups(trace, l2, without), TypeError)
})
