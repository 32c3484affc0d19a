import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type HashedImage, VersionHash } from '../../../src/dataset/version-hash.ts'

const hashOf = (...images: readonly HashedImage[]): string => {
  const hash = new VersionHash()
  for (const image of images) hash.add(image)
  return hash.digest()
}
const a = { sha256: 'a'.repeat(64), label: 'cat', split: 'train' }
const b = { sha256: 'b'.repeat(64), label: 'dog', split: 'test' }

test('VersionHash covers images, labels and splits, and nothing else', () => {
  const whole = hashOf(a, b)
  assert.equal(whole, hashOf({ ...a }, { ...b }))
  assert.match(whole, /^[0-9a-f]{64}$/)
  const others = [
    hashOf(),
    hashOf(a),
    hashOf(a, { ...b, sha256: 'c'.repeat(64) }),
    hashOf(a, { ...b, label: 'cat' }),
    hashOf(a, { ...b, split: 'train' })
  ]
  assert.equal(new Set([whole, ...others]).size, 6)
})

test('VersionHash does not take a label for the end of a line', () => {
  const line = `cat"\n${b.sha256} ${b.split} "dog`
  assert.notEqual(hashOf({ ...a, label: line }), hashOf(a, b))
})

test('VersionHash refuses images that are out of order or twice there', () => {
  assert.throws(() => hashOf(b, a), RangeError)
  assert.throws(() => hashOf(a, a), RangeError)
})
