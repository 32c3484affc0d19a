import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnswers, writeAnswers } from '../../../src/evaluate/answer-bits.ts'

test('writeAnswers() keeps a bit for each image, the first one highest', () => {
  assert.equal(writeAnswers(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1, 1)), 'gYA=')
  for (const n of [0, 1, 7, 8, 9, 64, 1001]) {
    const correct = Uint8Array.from({ length: n }, (_, i) => +(i % 3 === 0 || i % 7 === 0))
    assert.deepEqual(readAnswers(writeAnswers(correct), n), correct)
  }
})

test('readAnswers() refuses what holds another number of images', () => {
  const text = writeAnswers(new Uint8Array(16).fill(1))
  assert.equal(readAnswers(text, 17), undefined)
  assert.equal(readAnswers(text, 8), undefined)
  assert.equal(readAnswers('', 1), undefined)
})
