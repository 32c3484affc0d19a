/** Every op: shapes, costs, channel ties, and what it refuses. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import type { ChannelIds, ChannelTracer } from '../../../src/network/channels.ts'
import type { Shape } from '../../../src/network/graph.ts'
import { opNames } from '../../../src/network/op.ts'
import { ops } from '../../../src/network/ops.ts'
import { type NodeSketch, sketchNode } from '../../support/networks.ts'

const window = { stride: 2, padding: 'same' }
const vectors = (c: number) => ({ gamma: [c], beta: [c], mean: [c], variance: [c] })

interface Case {
  readonly sketch: Omit<NodeSketch, 'id'>
  readonly from: readonly Shape[]
  readonly to: Shape
  readonly macs?: number
}

const fits: readonly Case[] = [
  {
    sketch: { op: 'conv2d', attrs: window, shapes: { kernel: [3, 3, 4, 6] } },
    from: [[7, 8, 4]],
    to: [4, 4, 6],
    macs: 4 * 4 * 3 * 3 * 4 * 6
  },
  {
    sketch: {
      op: 'conv2d',
      attrs: { stride: 2, padding: 'valid' },
      shapes: { kernel: [3, 1, 4, 6], bias: [6] }
    },
    from: [[7, 8, 4]],
    to: [3, 4, 6],
    macs: 3 * 4 * 3 * 4 * 6
  },
  {
    sketch: { op: 'depthwiseConv2d', attrs: window, shapes: { kernel: [3, 3, 4, 2], bias: [8] } },
    from: [[7, 8, 4]],
    to: [4, 4, 8],
    macs: 4 * 4 * 3 * 3 * 4 * 2
  },
  {
    sketch: { op: 'dense', shapes: { kernel: [12, 5], bias: [5] } },
    from: [[12]],
    to: [5],
    macs: 60
  },
  {
    sketch: { op: 'batchNorm', attrs: { epsilon: 1e-3 }, shapes: vectors(4) },
    from: [[2, 3, 4]],
    to: [2, 3, 4]
  },
  {
    sketch: { op: 'batchNorm', attrs: { epsilon: 1e-3 }, shapes: vectors(4) },
    from: [[4]],
    to: [4]
  },
  { sketch: { op: 'relu' }, from: [[2, 3, 4]], to: [2, 3, 4] },
  { sketch: { op: 'relu6' }, from: [[4]], to: [4] },
  { sketch: { op: 'maxPool', attrs: { ...window, size: 2 } }, from: [[7, 8, 4]], to: [4, 4, 4] },
  {
    sketch: { op: 'avgPool', attrs: { size: 3, stride: 1, padding: 'valid' } },
    from: [[7, 8, 4]],
    to: [5, 6, 4]
  },
  { sketch: { op: 'globalAvgPool' }, from: [[7, 8, 4]], to: [4] },
  {
    sketch: { op: 'add', inputs: ['a', 'b'] },
    from: [
      [2, 3, 4],
      [2, 3, 4]
    ],
    to: [2, 3, 4]
  },
  {
    sketch: { op: 'concat', inputs: ['a', 'b'] },
    from: [
      [2, 3, 4],
      [2, 3, 5]
    ],
    to: [2, 3, 9]
  },
  { sketch: { op: 'flatten' }, from: [[2, 3, 4]], to: [24] },
  { sketch: { op: 'dropout', attrs: { rate: 0.5 } }, from: [[24]], to: [24] },
  { sketch: { op: 'softmax' }, from: [[5]], to: [5] }
]

const misfits: readonly (readonly [Omit<NodeSketch, 'id'>, readonly Shape[], RegExp])[] = [
  [
    { op: 'conv2d', attrs: window, shapes: { kernel: [3, 3, 5, 6] } },
    [[7, 8, 4]],
    /Cannot use node 'x' \(conv2d\): kernel axis 2 must be 4, received 5/
  ],
  [{ op: 'conv2d', attrs: window }, [[7, 8, 4]], /it needs the parameter kernel/],
  [
    { op: 'conv2d', attrs: window, shapes: { kernel: [3, 3, 4, 6], bias: [5] } },
    [[7, 8, 4]],
    /bias must have 6 values, received \[5\]/
  ],
  [
    { op: 'conv2d', attrs: { stride: 0, padding: 'same' }, shapes: { kernel: [3, 3, 4, 6] } },
    [[7, 8, 4]],
    /stride must be an integer 1\.\.64, received 0/
  ],
  [
    { op: 'conv2d', attrs: { stride: 1, padding: 'full' }, shapes: { kernel: [3, 3, 4, 6] } },
    [[7, 8, 4]],
    /padding must be 'same' or 'valid', received "full"/
  ],
  [
    { op: 'conv2d', attrs: { stride: 1, padding: 'valid' }, shapes: { kernel: [9, 9, 4, 6] } },
    [[7, 8, 4]],
    /a window of 9x9 must fit, received \[7,8\]/
  ],
  [
    { op: 'depthwiseConv2d', attrs: window, shapes: { kernel: [3, 3, 4] } },
    [[7, 8, 4]],
    /kernel must have 4 axes/
  ],
  [{ op: 'dense', shapes: { kernel: [11, 5] } }, [[12]], /kernel axis 0 must be 12, received 11/],
  [{ op: 'dense', shapes: { kernel: [12, 5] } }, [[2, 2, 3]], /its input must be \[c\]/],
  [
    { op: 'batchNorm', attrs: { epsilon: 1e-3 }, shapes: vectors(3) },
    [[2, 3, 4]],
    /gamma must have 4 values/
  ],
  [{ op: 'batchNorm', attrs: { epsilon: 0 }, shapes: vectors(4) }, [[4]], /epsilon must be/],
  [{ op: 'maxPool', attrs: { ...window, size: 1.5 } }, [[7, 8, 4]], /size must be an integer/],
  [{ op: 'globalAvgPool' }, [[4]], /its input must be \[h, w, c\], received \[4\]/],
  [{ op: 'add' }, [[4]], /it takes two inputs, received 1/],
  [{ op: 'add' }, [[4], [5]], /its inputs must have one shape/],
  [{ op: 'concat' }, [[4]], /two inputs or more/],
  [
    { op: 'concat' },
    [
      [2, 3, 4],
      [3, 3, 4]
    ],
    /its inputs must differ in channels only/
  ],
  [{ op: 'flatten' }, [[4]], /its input must be \[h, w, c\]/],
  [{ op: 'dropout', attrs: { rate: 1 } }, [[4]], /rate must be at least 0 and below 1, received 1/],
  [{ op: 'softmax' }, [[2, 2, 3]], /its input must be \[c\]/],
  [{ op: 'relu' }, [[4], [4]], /it takes one input, received 2/]
]

describe('ops', () => {
  test('every name has its definition', () => {
    for (const name of opNames) assert.equal(ops[name].name, name)
    assert.deepEqual(Object.keys(ops), [...opNames])
    assert.deepEqual(new Set(fits.map(({ sketch }) => sketch.op)), new Set(opNames))
  })

  for (const { sketch, from, to, macs = 0 } of fits) {
    test(`${sketch.op}: ${JSON.stringify(from)} gives [${to}] for ${macs} MACs`, () => {
      const node = sketchNode({ id: 'x', ...sketch })
      assert.deepEqual(ops[sketch.op].outputShape(from, node), to)
      assert.equal(ops[sketch.op].macs(from, node), macs)
    })
  }

  for (const [sketch, from, message] of misfits) {
    test(`${sketch.op}: refuses, ${message.source}`, () => {
      const node = sketchNode({ id: 'x', ...sketch })
      assert.throws(() => ops[sketch.op].outputShape(from, node), { name: 'RangeError', message })
    })
  }
})

interface Trace {
  readonly tracer: ChannelTracer
  readonly cuts: Record<string, readonly number[]>
  readonly ties: (readonly number[])[]
  readonly fixed: number[]
}

const recordTrace = (): Trace => {
  const cuts: Record<string, readonly number[]> = {}
  const ties: (readonly number[])[] = []
  const fixed: number[] = []
  const tracer: ChannelTracer = {
    fresh: (_node, count) => Int32Array.from({ length: count }, (_, i) => 100 + i),
    cut: (_node, role, axis, ids) => {
      cuts[`${role}:${axis}`] = [...ids]
    },
    tie: (a, b) => {
      ties.push([...a], [...b])
    },
    fix: (ids) => {
      fixed.push(...ids)
    }
  }
  return { tracer, cuts, ties, fixed }
}

describe('channels', () => {
  const channels = (
    sketch: Omit<NodeSketch, 'id'>,
    inputs: readonly ChannelIds[],
    shapes: readonly Shape[]
  ) => {
    const trace = recordTrace()
    const node = sketchNode({ id: 'x', ...sketch })
    const out = ops[sketch.op].channels(trace.tracer, inputs, node, shapes)
    return { ...trace, out: [...out] }
  }
  const ids = (...values: number[]) => Int32Array.from(values)

  test('a convolution ends its input channels and begins its own', () => {
    const sketch = { op: 'conv2d', shapes: { kernel: [3, 3, 2, 3], bias: [3] } } as const
    const { out, cuts } = channels(sketch, [ids(7, 8)], [[4, 4, 2]])
    assert.deepEqual(out, [100, 101, 102])
    assert.deepEqual(cuts, { 'kernel:2': [7, 8], 'kernel:3': out, 'bias:0': out })
  })

  test('a depthwise convolution repeats its input channels by the multiplier', () => {
    const sketch = { op: 'depthwiseConv2d', shapes: { kernel: [3, 3, 2, 2], bias: [4] } } as const
    const { out, cuts } = channels(sketch, [ids(7, 8)], [[4, 4, 2]])
    assert.deepEqual(out, [7, 7, 8, 8])
    assert.deepEqual(cuts, { 'kernel:2': [7, 8], 'bias:0': out })
  })

  test('a dense layer after flatten cuts a row per position of a channel', () => {
    const flat = channels({ op: 'flatten' }, [ids(7, 8)], [[1, 3, 2]])
    assert.deepEqual(flat.out, [7, 8, 7, 8, 7, 8])
    const { out, cuts } = channels(
      { op: 'dense', shapes: { kernel: [6, 2] } },
      [Int32Array.from(flat.out)],
      [[6]]
    )
    assert.deepEqual(cuts, { 'kernel:0': flat.out, 'kernel:1': out })
  })

  test('batch norm cuts its four vectors', () => {
    const sketch = { op: 'batchNorm', shapes: vectors(2) } as const
    const { out, cuts } = channels(sketch, [ids(7, 8)], [[4, 4, 2]])
    assert.deepEqual(out, [7, 8])
    const expected = ['gamma:0', 'beta:0', 'mean:0', 'variance:0'].map((key) => [key, [7, 8]])
    assert.deepEqual(cuts, Object.fromEntries(expected))
  })

  test('an addition ties, a concatenation joins, a softmax fixes', () => {
    const both = [ids(1, 2), ids(3, 4)]
    assert.deepEqual(channels({ op: 'add' }, both, []).ties, [
      [1, 2],
      [3, 4]
    ])
    assert.deepEqual(channels({ op: 'concat' }, both, []).out, [1, 2, 3, 4])
    assert.deepEqual(channels({ op: 'softmax' }, [ids(1, 2)], []).fixed, [1, 2])
  })

  for (const op of ['relu', 'relu6', 'maxPool', 'avgPool', 'globalAvgPool', 'dropout'] as const) {
    test(`${op} passes channels through`, () => {
      assert.deepEqual(channels({ op }, [ids(5, 6)], [[2, 2, 2]]).out, [5, 6])
    })
  }
})

test('nothing here loads TensorFlow.js', async () => {
  await import('../../../src/network/forward.ts')
  await import('../../../src/network/document.ts')
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  assert.deepEqual(
    loaded.filter((file) => file.includes('@tensorflow')),
    []
  )
})
