import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gradCam } from '../../../src/explain/grad-cam.ts'
import type { Network } from '../../../src/network/graph.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { quadrantNetwork, quadrantPixels, quadrantWeights } from '../../support/quadrant-network.ts'

const engine = await loadEngine('wasm')

test('the map is the gradient-weighted sum of the last feature map', () => {
  const options = { engine, network: quadrantNetwork, weights: quadrantWeights }
  const { label, score, map } = gradCam({ ...options, pixels: quadrantPixels, label: null })
  assert.equal(label, 1)
  assert.ok(score > 0.9)
  assert.deepEqual([map.length, map[0]?.length], [4, 4])
  // Average pooling halves the side: features are 1 in the top left 2x2, and 0 elsewhere.
  const weight = 8 / 16
  assert.deepEqual(
    map.map((row) => row.map((value) => Math.round(value * 1000) / 1000)),
    [
      [weight, weight, 0, 0],
      [weight, weight, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0]
    ]
  )
  const other = gradCam({ ...options, pixels: quadrantPixels, label: 0 })
  assert.equal(Math.round(Number(other.map[0]?.[0]) * 1000) / 1000, -weight)
})

test('what is added to every logit explains nothing', () => {
  const shifted = new Map([['logits/kernel', Float32Array.of(-28, -12)]])
  const options = { engine, network: quadrantNetwork, pixels: quadrantPixels, label: 1 }
  const { map } = gradCam({ ...options, weights: shifted })
  assert.deepEqual(map, gradCam({ ...options, weights: quadrantWeights }).map)
})

test('a network without a feature map is refused', () => {
  const [, ...rest] = quadrantNetwork.nodes
  const flat = { id: 'flat', op: 'flatten', inputs: ['images'], attrs: {}, params: {} } as const
  const kernel = { name: 'logits/kernel', shape: [64, 2] }
  const dense = {
    id: 'logits',
    op: 'dense',
    inputs: ['flat'],
    attrs: {},
    params: { kernel }
  } as const
  const softmax = rest.at(-1)
  assert.ok(softmax)
  const network: Network = { ...quadrantNetwork, nodes: [flat, dense, softmax] }
  const weights = new Map([['logits/kernel', new Float32Array(128)]])
  assert.throws(
    () => gradCam({ engine, network, weights, pixels: quadrantPixels, label: null }),
    /no feature map/
  )
})
