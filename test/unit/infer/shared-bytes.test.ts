import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { SharedBytes, SharedBytesReader } from '../../../src/infer/shared-bytes.ts'

const kib = 1024
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

function pair(t: TestContext): {
  readonly shared: SharedBytes
  readonly reader: SharedBytesReader
} {
  const shared = new SharedBytes()
  t.after(() => shared.close())
  assert.notEqual(shared.fd, null)
  // The other process has a descriptor of its own for the same file.
  const fd = openSync(`/proc/self/fd/${shared.fd}`, 'r')
  t.after(() => closeSync(fd))
  return { shared, reader: new SharedBytesReader(fd) }
}

test('SharedBytesReader.read() gives what SharedBytes.write() was given, one part behind the other', (t) => {
  const { shared, reader } = pair(t)
  const [a, b] = [filled(20 * kib, 1), filled(30 * kib, 2)]
  const first = shared.write([a, b])
  const second = shared.write([filled(16 * kib, 3)])
  assert.ok(first && second)
  assert.deepEqual(reader.read(first, 50 * kib), Buffer.concat([a, b]))
  assert.deepEqual(reader.read(second, 16 * kib), Buffer.from(filled(16 * kib, 3)))
})

test('SharedBytes.write() refuses what is too small, too large, or a third batch until one is released', (t) => {
  const { shared, reader } = pair(t)
  assert.equal(shared.write([filled(16 * kib - 1, 1)]), null)
  assert.equal(shared.write([filled(4 * kib * kib, 1), filled(1, 1)]), null)
  const [first, second] = [
    shared.write([filled(16 * kib, 1)]),
    shared.write([filled(4096 * kib, 2)])
  ]
  assert.ok(first && second)
  assert.equal(shared.write([filled(16 * kib, 3)]), null)
  shared.release(first)
  const third = shared.write([filled(16 * kib, 3)])
  assert.ok(third)
  assert.equal(reader.read(third, 16 * kib)[0], 3)
  assert.equal(reader.read(second, 4096 * kib).at(-1), 2)
})

test('SharedBytes.write() takes nothing after close()', () => {
  const shared = new SharedBytes()
  shared.close()
  shared.close()
  assert.equal(shared.write([filled(16 * kib, 1)]), null)
})

test('SharedBytesReader.read() refuses to give fewer bytes than were promised', (t) => {
  const { shared, reader } = pair(t)
  const slot = shared.write([filled(16 * kib, 1)])
  assert.ok(slot)
  assert.throws(() => reader.read({ at: slot.at + 16 * kib }, 1), /0 are there/)
})
