import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { writeSafetensors } from '../../../src/network/safetensors.ts'
import {
  emptyState,
  type PipelineState,
  readPipelineState,
  writePipelineState
} from '../../../src/worker/pipeline-state.ts'

const network = buildNetwork(
  {
    architecture: 'simple-cnn',
    depth: 5,
    width: 0.25,
    inputSize: 8,
    channels: 1,
    resize: 'stretch'
  },
  { classes: 3, scale: 0.01, zeroPoint: 33 }
)
const baseline = { network, weights: initialWeights(network, 1) }
const pruned = { network, weights: initialWeights(network, 2) }
const progress = { epoch: 2, step: 7, updates: 47, lossSum: 1.25, correct: 30, images: 64 }

test('readPipelineState() gives back what writePipelineState() was given', () => {
  const states: PipelineState[] = [
    emptyState,
    { ...emptyState, baseline, stopReason: 'limit' },
    {
      baseline,
      pruned,
      fit: {
        format: 'whittle-fit-1',
        progress: { ...progress, best: { epoch: 1, accuracy: 0.5, loss: 0.9 } },
        tensors: new Map([['slots/a/momentum', Float32Array.of(1, -2.5, 3e-9)]])
      },
      fineTuned: false,
      stopReason: null
    },
    { baseline, pruned, fit: null, fineTuned: true, stopReason: 'stopped' }
  ]
  for (const state of states) {
    assert.deepEqual(readPipelineState(writePipelineState(state)), state)
  }
})

test('writePipelineState() is a pure function of the state', () => {
  const state = { ...emptyState, baseline }
  assert.deepEqual(writePipelineState(state), writePipelineState(state))
})

const withHeader = (text: string): Uint8Array =>
  writeSafetensors({ tensors: new Map(), metadata: { whittle: text } })

test('readPipelineState() refuses a file that is no checkpoint, saying what it received', () => {
  assert.throws(() => readPipelineState(withHeader('{')), /not JSON/)
  assert.throws(() => readPipelineState(withHeader('{"format":"other"}')), /"format":"other"/)
  const bytes = writePipelineState({ ...emptyState, baseline })
  assert.throws(() => readPipelineState(bytes.subarray(0, bytes.length - 1)), RangeError)
})

test('readPipelineState() refuses weights that are not those of the network', () => {
  const weights = new Map(baseline.weights)
  weights.delete([...weights.keys()][0] ?? '')
  const bytes = writePipelineState({ ...emptyState, baseline: { network, weights } })
  assert.throws(() => readPipelineState(bytes), RangeError)
})
