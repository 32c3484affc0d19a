/** Pruned networks compute what they should: judged by ONNX Runtime, which knows nothing of pruning. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { macs } from '../../src/network/cost.ts'
import type { Network, Weights } from '../../src/network/graph.ts'
import { traceChannels } from '../../src/network/trace-channels.ts'
import { exportOnnx } from '../../src/onnx/export.ts'
import { pruneChannels } from '../../src/prune/prune.ts'
import { removeUnits } from '../../src/prune/rewrite.ts'
import { openSession } from '../../src/runtime/session.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'
import { randomNetwork } from '../support/random-network.ts'

const IMAGES = 3

const outputs = async (network: Network, weights: Weights): Promise<Float32Array> => {
  const session = await openSession(exportOnnx({ network, weights }), { threads: 1 })
  try {
    const pixels = network.input.shape.reduce((product, side) => product * side, 1)
    const random = new Random(randomKey(1, 'pixels'))
    const images = Uint8Array.from({ length: IMAGES * pixels }, () => random.between(0, 256))
    const probabilities = (await session.run(images, IMAGES)).get('probabilities')
    return Float32Array.from(probabilities ?? [])
  } finally {
    await session.release()
  }
}

const assertClose = (actual: Float32Array, expected: Float32Array) => {
  assert.equal(actual.length, expected.length)
  assert.ok(actual.length > 0)
  for (const [i, value] of actual.entries()) {
    assert.ok(Math.abs(value - (expected[i] as number)) < 1e-5, `${value} at ${i}`)
  }
}

/** Silences about half of the channels of every group: weights, offsets and statistics become zero. */
const silence = (network: Network, weights: Weights, seed: number) => {
  const trace = traceChannels(network)
  const random = new Random(randomKey(seed, 'silence'))
  const silent = new Set<number>()
  for (const { units } of trace.groups) {
    // At least one channel of every group goes on speaking.
    for (const unit of units.slice(1)) if (random.uniform() < 0.5) silent.add(unit)
  }
  const silenced = new Map([...weights].map(([name, values]) => [name, values.slice()]))
  const shapes = new Map(
    network.nodes.flatMap(({ params }) =>
      Object.values(params).map(({ name, shape }) => [name, shape] as const)
    )
  )
  for (const { parameter, axis, units } of trace.cuts) {
    const values = silenced.get(parameter) as Float32Array
    const inner = (shapes.get(parameter) ?? [])
      .slice(axis + 1)
      .reduce((product, side) => product * side, 1)
    for (let i = 0; i < values.length; i++) {
      if (silent.has(units[Math.floor(i / inner) % units.length] as number)) values[i] = 0
    }
  }
  return { trace, silent, silenced }
}

for (let seed = 0; seed < 24; seed++) {
  test(`removeUnits() of silent channels leaves outputs unchanged, random network ${seed}`, async () => {
    const { network, weights } = randomNetwork(seed)
    const { trace, silent, silenced } = silence(network, weights, seed)
    const smaller = removeUnits(network, silenced, { trace, removed: silent })
    const expected = await outputs(network, silenced)
    assertClose(await outputs(smaller.network, smaller.weights), expected)
    if (silent.size > 0) assert.ok(macs(smaller.network) < macs(network))
  })
}

test('pruneChannels() finds the silent channels by itself and leaves outputs unchanged', async () => {
  const { network, weights } = randomNetwork(3)
  const { trace, silent, silenced } = silence(network, weights, 3)
  const predicted = removeUnits(network, silenced, { trace, removed: silent })
  const share = (macs(predicted.network) + 0.5) / macs(network)
  const pruned = pruneChannels(network, silenced, { macs: share, roundTo: 1, criterion: 'l2' })
  assert.equal(pruned.report.macs.after, macs(predicted.network))
  assertClose(await outputs(pruned.network, pruned.weights), await outputs(network, silenced))
})
