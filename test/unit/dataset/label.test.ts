import assert from 'node:assert/strict'
import { test } from 'node:test'
import { normaliseLabel } from '../../../src/dataset/label.ts'
import { ServiceError } from '../../../src/errors.ts'

test('normaliseLabel() takes labels in any script and gives them one spelling', () => {
  const cases = [
    ['cat', 'cat'],
    ['  red fox ', 'red fox'],
    ['cafe\u0301', 'café'],
    ['猫', '猫'],
    ['кошка', 'кошка'],
    ['قط', 'قط'],
    ['می\u200cخواهم', 'می\u200cخواهم'],
    ['🐈', '🐈'],
    ['a'.repeat(100), 'a'.repeat(100)]
  ] as const
  for (const [received, label] of cases) assert.equal(normaliseLabel(received), label)
})

test('normaliseLabel() refuses what one cannot see or print', () => {
  for (const bad of ['', ' \t', 'a\0b', 'a\nb', 'a\u202eb', 'a\ufffd', '\ud800', 'a'.repeat(101)]) {
    assert.throws(
      () => normaliseLabel(bad),
      (error) => error instanceof ServiceError && error.code === 'LABEL_INVALID',
      JSON.stringify(bad)
    )
  }
})
