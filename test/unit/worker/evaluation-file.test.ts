import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addImage, emptySketch } from '../../../src/drift/sketch.ts'
import { readEvaluation, writeEvaluation } from '../../../src/worker/evaluation-file.ts'

const evaluation = {
  accuracy: { value: 0.5, ci95: [0.1, 0.9], images: 2 },
  correct: Uint8Array.of(1, 0),
  confusion: [
    [1, 0],
    [1, 0]
  ],
  calibrationError: 0.25,
  crossEntropy: 1 / 3
}
const reference = emptySketch(2, 1)
addImage(reference, { predicted: 0, score: 0.75, brightness: 200, contrast: 10, channels: [] })

test('readEvaluation() gives back what writeEvaluation() was given', () => {
  for (const sketch of [reference, null]) {
    const pair = { validation: evaluation, test: evaluation, reference: sketch }
    assert.deepEqual(readEvaluation(writeEvaluation(pair)), pair)
  }
})

test('readEvaluation() reads one of before there were references', () => {
  const written = writeEvaluation({ validation: evaluation, test: evaluation, reference })
  const { reference: _, ...earlier } = JSON.parse(new TextDecoder().decode(written))
  const read = readEvaluation(new TextEncoder().encode(JSON.stringify(earlier)))
  assert.deepEqual(read, { validation: evaluation, test: evaluation, reference: null })
})

test('readEvaluation() refuses another form, saying where', () => {
  const odd = { ...reference, brightness: [1] }
  const written = writeEvaluation({ validation: evaluation, test: evaluation, reference: odd })
  assert.throws(() => readEvaluation(written), /Cannot read evaluation: .*reference/)
})
