import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Evaluation } from '../../../src/evaluate/evaluate-variant.ts'
import { evaluationReport } from '../../../src/evaluate/evaluation-report.ts'

const labels = ['a', 'b', 'c']

function evaluation(correct: readonly number[], confusion: number[][]): Evaluation {
  const hits = correct.filter((right) => right === 1).length
  return {
    accuracy: { value: hits / correct.length, ci95: [0, 1], images: correct.length },
    correct: Uint8Array.from(correct),
    confusion,
    calibrationError: 0.1,
    crossEntropy: 0.2
  }
}

const baseline = evaluation(
  [1, 1, 0, 1],
  [
    [2, 0, 0],
    [0, 0, 0],
    [1, 0, 1]
  ]
)
const int8 = evaluation(
  [1, 0, 0, 1],
  [
    [1, 1, 0],
    [0, 0, 0],
    [1, 0, 1]
  ]
)

test('a report pairs every variant with the baseline, and says which classes had images', () => {
  const report = evaluationReport(
    new Map([
      ['baseline', baseline],
      ['int8', int8]
    ]),
    labels
  )
  assert.deepEqual([report.images, report.labels, report.mapped], [4, labels, ['a', 'c']])
  assert.equal(report.variants.int8?.versusBaseline?.accuracyDrop.value, 0.25)
  assert.equal(report.variants.baseline?.versusBaseline?.accuracyDrop.value, 0)
  assert.deepEqual(report.variants.int8?.perClass[1], {
    label: 'b',
    precision: 0,
    recall: null,
    images: 0
  })
})

test('without a baseline there is no difference, and without an evaluation no report', () => {
  const report = evaluationReport(new Map([['int8', int8]]), labels)
  assert.equal(report.variants.int8?.versusBaseline, null)
  assert.throws(() => evaluationReport(new Map(), labels), /received no evaluation/)
})
