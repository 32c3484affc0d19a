import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtobufWriter } from '../../../src/tensor/protobuf.ts'

const hex = (writer: ProtobufWriter) => Buffer.from(writer.finish()).toString('hex')

test('ProtobufWriter writes the examples of the encoding guide', () => {
  assert.equal(hex(new ProtobufWriter().integer(1, 150)), '089601')
  assert.equal(hex(new ProtobufWriter().text(2, 'testing')), '120774657374696e67')
  const nested = new ProtobufWriter().message(3, new ProtobufWriter().integer(1, 150))
  assert.equal(hex(nested), '1a03089601')
})

test('ProtobufWriter writes negative integers as ten bytes, floats little-endian', () => {
  assert.equal(hex(new ProtobufWriter().integer(1, -2)), '08feffffffffffffffff01')
  assert.equal(hex(new ProtobufWriter().float(4, 1)), '250000803f')
  assert.equal(hex(new ProtobufWriter().integer(5, true)), '2801')
})
