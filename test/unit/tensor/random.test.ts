import assert from 'node:assert/strict'
import { test } from 'node:test'
import { permutation, Random, randomKey, threefry } from '../../../src/tensor/random.ts'

const hex = (words: Uint32Array) => [...words].map((w) => w.toString(16).padStart(8, '0'))

test('threefry() gives the known answers of the Random123 distribution', () => {
  const out = new Uint32Array(2)
  threefry({ high: 0, low: 0 }, 0, 0, out)
  assert.deepEqual(hex(out), ['6b200159', '99ba4efe'])
  threefry({ high: 0xffffffff, low: 0xffffffff }, 0xffffffff, 0xffffffff, out)
  assert.deepEqual(hex(out), ['1cb996fc', 'bb002be7'])
  threefry({ high: 0x13198a2e, low: 0x03707344 }, 0x243f6a88, 0x85a308d3, out)
  assert.deepEqual(hex(out), ['c4923a9c', '483df7a0'])
})

test('randomKey() separates paths and tells numbers from strings', () => {
  const keys = [
    randomKey(1, 'a', 0),
    randomKey(1, 'a', 1),
    randomKey(1, 'b', 0),
    randomKey(2, 'a', 0),
    randomKey(1, 0, 'a'),
    randomKey(2 ** 32 + 1, 'a', 0)
  ]
  assert.equal(new Set(keys.map((k) => `${k.high}:${k.low}`)).size, keys.length)
  assert.deepEqual(randomKey(1, 'a', 0), randomKey(1, 'a', 0))
})

test('Random.at() gives an element the same numbers whatever was read before', () => {
  const random = new Random(randomKey(9, 'elements'))
  const straight = [random.at(5).uniform(), random.uniform(), random.uniform()]
  random.at(4).uniform()
  assert.deepEqual([random.at(5).uniform(), random.uniform(), random.uniform()], straight)
})

test('Random.normal() has mean 0, variance 1 and the tails of a normal', () => {
  const random = new Random(randomKey(3, 'normal'))
  const n = 40_000
  let [sum, squares, beyondTwo] = [0, 0, 0]
  for (let i = 0; i < n; i++) {
    const x = random.normal()
    sum += x
    squares += x * x
    if (Math.abs(x) > 2) beyondTwo++
  }
  assert.ok(Math.abs(sum / n) < 0.02)
  assert.ok(Math.abs(squares / n - 1) < 0.03)
  assert.ok(Math.abs(beyondTwo / n - 0.0455) < 0.005)
})

test('permutation() holds every index once and differs between keys', () => {
  const order = permutation(randomKey(1, 'shuffle', 0), 1000)
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    [...Array(1000).keys()]
  )
  assert.notDeepEqual(order, permutation(randomKey(1, 'shuffle', 1), 1000))
})
