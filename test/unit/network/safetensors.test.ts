/** The safetensors format: what is written comes back, bit for bit, and nothing damaged is believed. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  type NamedTensor,
  readSafetensors,
  writeSafetensors
} from '../../../src/network/safetensors.ts'

const tensor = fc.array(fc.nat({ max: 4 }), { maxLength: 4 }).chain((shape) => {
  const length = shape.reduce((product, side) => product * side, 1)
  return fc
    .float32Array({ minLength: length, maxLength: length })
    .map((data): NamedTensor => ({ shape, data }))
})
const name = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text !== '__metadata__')
const file = fc.record({
  tensors: fc.array(fc.tuple(name, tensor), { maxLength: 6 }).map((entries) => new Map(entries)),
  metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3, noNullPrototype: true })
})

const bits = ({ data }: NamedTensor) => new Uint32Array(data.slice().buffer)

describe('safetensors', () => {
  test('comes back as written', () => {
    fc.assert(
      fc.property(file, (written) => {
        const read = readSafetensors(writeSafetensors(written))
        assert.deepEqual(read.metadata, written.metadata)
        assert.deepEqual(new Set(read.tensors.keys()), new Set(written.tensors.keys()))
        for (const [key, value] of written.tensors) {
          const copy = read.tensors.get(key) as NamedTensor
          assert.deepEqual(copy.shape, value.shape)
          assert.deepEqual(bits(copy), bits(value))
        }
      })
    )
  })

  test('carries files of any length beside tensors, and tells the two apart', () => {
    const tensors = new Map([['a', { shape: [1], data: Float32Array.of(-0.5) }]])
    const files = new Map([
      ['odd', Uint8Array.of(1, 2, 255)],
      ['empty', new Uint8Array()],
      ['one', Uint8Array.of(7)]
    ])
    const bytes = writeSafetensors({ tensors, metadata: {}, files })
    for (const given of [bytes, Buffer.from(bytes)]) {
      const read = readSafetensors(given)
      assert.deepEqual(read.tensors, tensors)
      assert.deepEqual(read.files, files)
      given.fill(0)
      assert.deepEqual(read.files, files, 'what was read is a copy')
    }
    const twice = new Map([['a', Uint8Array.of(1)]])
    assert.throws(() => writeSafetensors({ tensors, metadata: {}, files: twice }), /received a$/)
  })

  test('a cut or lengthened file is refused', () => {
    fc.assert(
      fc.property(file, fc.nat(), (written, at) => {
        const bytes = writeSafetensors(written)
        assert.throws(() => readSafetensors(bytes.subarray(0, at % bytes.length)), RangeError)
        const longer = new Uint8Array(bytes.length + 1 + (at % 9))
        longer.set(bytes)
        assert.throws(() => readSafetensors(longer), RangeError)
      })
    )
  })

  test('arbitrary bytes raise RangeError and nothing else', () => {
    const garbage = fc.tuple(fc.nat({ max: 40 }), fc.uint8Array({ maxLength: 60 }))
    fc.assert(
      fc.property(garbage, ([length, rest]) => {
        const bytes = new Uint8Array(8 + rest.length)
        bytes[0] = length
        bytes.set(rest, 8)
        assert.throws(() => readSafetensors(bytes), RangeError)
      })
    )
  })

  test('a flipped bit of the header raises RangeError or gives tensors that fill the file', () => {
    const tensors = new Map([
      ['a', { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
      ['b', { shape: [3], data: Float32Array.of(5, 6, 7) }]
    ])
    const whole = writeSafetensors({ tensors, metadata: { step: '12' } })
    for (let bit = 0; bit < (whole.length - 28) * 8; bit++) {
      const bytes = whole.slice()
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
      try {
        const values = [...readSafetensors(bytes).tensors.values()].map(({ data }) => data.length)
        assert.equal(
          values.reduce((sum, length) => sum + length, 0),
          7
        )
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error))
      }
    }
  })

  const entry = (changes: object) => ({
    a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...changes }
  })
  for (const [what, header, message] of [
    ['another dtype', entry({ dtype: 'F16' }), /must have dtype F32 or U8, received F16/],
    ['a shape that is none', entry({ shape: [-2] }), /must have a shape/],
    ['a shape of another size', entry({ shape: [3] }), /must take 12 bytes, received 8/],
    [
      'offsets past the end',
      entry({ shape: [3], data_offsets: [0, 12] }),
      /must cover 8 bytes, received 12/
    ],
    ['a hole', entry({ shape: [1], data_offsets: [4, 8] }), /must begin at byte 0, received 4/],
    ['offsets backwards', entry({ data_offsets: [8, 0] }), /must take 8 bytes/],
    [
      'two tensors on the same bytes',
      { ...entry({}), b: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } },
      /'b' must begin at byte 8, received 0/
    ],
    ['metadata that is not text', { ...entry({}), __metadata__: { n: 1 } }, /'n' must be text/],
    ['a list', [], /must be a JSON object/]
  ] as const) {
    test(`${what} is refused`, () => {
      assert.throws(() => readSafetensors(withHeader(header)), { name: 'RangeError', message })
    })
  }

  test('a header length beyond the file is refused', () => {
    const bytes = new Uint8Array(16).fill(255, 0, 8)
    assert.throws(() => readSafetensors(bytes), /the header must fit 8 bytes/)
  })

  test('values that do not fill the shape, and the reserved name, are not written', () => {
    const data = new Float32Array(3)
    const write = (key: string, shape: number[]) =>
      writeSafetensors({ tensors: new Map([[key, { shape, data }]]), metadata: {} })
    assert.throws(() => write('a', [2, 2]), /of shape \[2,2\] must have 4 values, received 3/)
    assert.throws(() => write('__metadata__', [3]), /reserved name/)
  })

  test('values begin on a multiple of 8 bytes, wherever the file lies in memory', () => {
    const tensors = new Map([['abc', { shape: [1], data: Float32Array.of(2.5) }]])
    const bytes = writeSafetensors({ tensors, metadata: {} })
    assert.equal(bytes.length % 8, 4)
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    assert.deepEqual(readSafetensors(shifted.subarray(1)).tensors, tensors)
  })
})

const withHeader = (header: object): Uint8Array => {
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(8 + text.length + 8)
  bytes[0] = text.length & 255
  bytes[1] = text.length >> 8
  bytes.set(text, 8)
  return bytes
}
