import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Message } from '../../../src/foreign/protobuf-reader.ts'
import { ProtobufWriter } from '../../../src/tensor/protobuf.ts'

const read = (bytes: Uint8Array | readonly number[]) => new Message(Uint8Array.from(bytes), 'It')

test('Message reads what ProtobufWriter writes', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.string(), (n, text) => {
      const inner = new ProtobufWriter().integer(1, n).integer(1, 7)
      const message = read(
        new ProtobufWriter().text(2, text).message(3, inner).float(4, 0.5).finish()
      )
      assert.equal(message.text(2), text)
      assert.deepEqual(message.message(3, 'Inner')?.integers(1), [n, 7n])
      assert.equal(message.float(4), 0.5)
    })
  )
})

test('Message takes packed and single numbers alike', () => {
  // Field 1: 3, then packed 270 and 86942, as in the encoding guide; field 2: two floats in a row.
  const message = read([8, 3, 10, 5, 0x8e, 2, 0x9e, 0xa7, 5, 18, 8, ...Array(8).fill(1)])
  assert.deepEqual(message.integers(1), [3n, 270n, 86942n])
  assert.equal(message.numbers(2, 'fixed32').length, 8)
  assert.deepEqual(
    read([21, 1, 2, 3, 4, 21, 5, 6, 7, 8]).numbers(2, 'fixed32'),
    Buffer.of(1, 2, 3, 4, 5, 6, 7, 8)
  )
})

test('Message takes the last of several, and nothing for a default', () => {
  const message = read([8, 1, 8, 2])
  assert.deepEqual([message.small(1), message.small(9), message.text(9)], [2, 0, ''])
  assert.equal(read([8, ...Array(9).fill(255), 1]).small(1), -1)
})

test('Message refuses what is damaged', () => {
  for (const [bytes, says] of [
    [[8], /ends within a number/],
    [[8, 128], /ends within a number/],
    [[8, ...Array(10).fill(128), 1], /more than ten bytes/],
    [[10, 5, 1], /5 bytes are announced, received 1/],
    [[13, 1, 2], /4 bytes are announced/],
    [[11], /wire type 3/],
    [[0, 1], /numbered 0/]
  ] as const) {
    assert.throws(() => read(bytes), says)
  }
  assert.throws(() => read([8, 1]).text(1), /wire type 0, not 2/)
  assert.throws(() => read([10, 1, 255]).text(1), /no UTF-8/)
  assert.throws(() => read([10, 0, 10, 0]).message(1, 'Inner'), /has 2 of field 1/)
  const long = new ProtobufWriter().text(1, 'x'.repeat(2001)).finish()
  assert.throws(() => read(long).text(1), /MODEL_LIMIT.*at most 2000 bytes/)
})
