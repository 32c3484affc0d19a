import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addImage, emptySketch } from '../../../src/drift/sketch.ts'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { readSafetensors, writeSafetensors } from '../../../src/network/safetensors.ts'
import { readCheckpoint, writeCheckpoint } from '../../../src/worker/checkpoint-file.ts'
import { emptyState, type PipelineState } from '../../../src/worker/pipeline-state.ts'
import { latency } from '../../support/trainer-run.ts'

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

const evaluation = (hits: number) => ({
  accuracy: { value: hits / 3, ci95: [0.1, 1 / 7], images: 3 },
  correct: Uint8Array.of(1, 0, 1),
  confusion: [
    [2, 1],
    [0, 7]
  ],
  calibrationError: 1e-17,
  crossEntropy: 0.1 + 0.2
})
const reference = emptySketch(2, 3)
addImage(reference, { predicted: 1, score: 0.5, brightness: 9, contrast: 2, channels: [1, 2, 3] })
const facts = { parameters: 10, macs: 20 }
const published: PipelineState = {
  ...emptyState,
  baseline,
  exported: [
    { variant: 'baseline', from: null, onnx: Uint8Array.of(1, 2, 3), ...facts },
    { variant: 'int8', from: 'baseline', onnx: Uint8Array.of(4), ...facts }
  ],
  evaluated: new Map([
    ['baseline', { validation: evaluation(1), test: evaluation(2), reference }],
    ['int8', { validation: evaluation(3), test: evaluation(2), reference: null }]
  ]),
  latencies: { baseline: latency, int8: { ...latency, medianMs: 0.1 } }
}

test('readCheckpoint() gives back what writeCheckpoint() was given', () => {
  const states: PipelineState[] = [
    emptyState,
    { ...emptyState, baseline, stopReason: 'limit' },
    {
      ...emptyState,
      baseline,
      pruned,
      fit: {
        format: 'whittle-fit-1',
        progress: { ...progress, best: { epoch: 1, accuracy: 0.5, loss: 0.9 } },
        tensors: new Map([['slots/a/momentum', Float32Array.of(1, -2.5, 3e-9)]])
      }
    },
    { ...emptyState, baseline, pruned, fineTuned: true, stopReason: 'stopped' },
    published
  ]
  for (const state of states) {
    assert.deepEqual(readCheckpoint(writeCheckpoint(state)), state)
  }
})

test('writeCheckpoint() is a pure function of the state', () => {
  const state = { ...emptyState, baseline }
  assert.deepEqual(writeCheckpoint(state), writeCheckpoint(state))
})

const withHeader = (text: string): Uint8Array =>
  writeSafetensors({ tensors: new Map(), metadata: { whittle: text } })

test('readCheckpoint() refuses a file that is no checkpoint, saying what it received', () => {
  assert.throws(() => readCheckpoint(withHeader('{')), /not JSON/)
  assert.throws(() => readCheckpoint(withHeader('{"format":"other"}')), /"format":"other"/)
  const bytes = writeCheckpoint({ ...emptyState, baseline })
  assert.throws(() => readCheckpoint(bytes.subarray(0, bytes.length - 1)), RangeError)
})

test('readCheckpoint() refuses weights that are not those of the network', () => {
  const weights = new Map(baseline.weights)
  weights.delete([...weights.keys()][0] ?? '')
  const bytes = writeCheckpoint({ ...emptyState, baseline: { network, weights } })
  assert.throws(() => readCheckpoint(bytes), RangeError)
})

test('readCheckpoint() reads a checkpoint of before there were pieces after training', () => {
  const { exported, evaluated, latencies, ...older } = { ...emptyState, baseline }
  const { tensors, metadata } = readSafetensors(writeCheckpoint({ ...emptyState, baseline }))
  const header = JSON.parse(metadata.whittle ?? '')
  for (const name of ['exported', 'evaluated', 'latencies']) delete header[name]
  const bytes = writeSafetensors({ tensors, metadata: { whittle: JSON.stringify(header) } })
  assert.deepEqual(readCheckpoint(bytes), { ...older, exported, evaluated, latencies })
})

test('readCheckpoint() refuses a checkpoint without a file that it names', () => {
  const { tensors, metadata } = readSafetensors(writeCheckpoint(published))
  const bytes = writeSafetensors({ tensors, metadata })
  assert.throws(() => readCheckpoint(bytes), /expected files\/baseline.onnx, received/)
})
