import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seal, unseal } from '../../../src/http/sealed-answer.ts'

const text = '{"key":"whittle_…"}'

test('unseal() opens what the same secret has sealed', () => {
  const sealed = seal(text, 'mine')
  assert.equal(unseal(sealed, 'mine'), text)
  assert.equal(unseal(seal('', ''), ''), '')
  assert.notEqual(seal(text, 'mine'), sealed, 'the same text is never the same twice')
})

test('unseal() opens nothing with another secret, nor what was changed', () => {
  const sealed = seal(text, 'mine')
  assert.throws(() => unseal(sealed, 'yours'))
  for (const at of [0, 20, 30, 50]) {
    const bytes = Buffer.from(sealed, 'base64')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    assert.throws(() => unseal(bytes.toString('base64'), 'mine'), `byte ${at}`)
  }
})
