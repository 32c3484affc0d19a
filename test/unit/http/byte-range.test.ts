import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byteRange, namesTag } from '../../../src/http/byte-range.ts'

const ask = (range?: string, ifRange?: string, bytes = 100) =>
  byteRange({ range, ifRange, etag: '"a"', bytes })

test('byteRange() reads the three forms of RFC 9110 section 14.1.2', () => {
  assert.deepEqual(ask('bytes=0-9'), { start: 0, end: 9 })
  assert.deepEqual(ask('bytes=90-'), { start: 90, end: 99 })
  assert.deepEqual(ask('bytes=-10'), { start: 90, end: 99 })
  assert.deepEqual(ask('bytes=50-1000'), { start: 50, end: 99 })
  assert.deepEqual(ask('bytes=-1000'), { start: 0, end: 99 })
})

test('byteRange() is unsatisfiable beyond the end', () => {
  assert.equal(ask('bytes=100-'), 'unsatisfiable')
  assert.equal(ask('bytes=-0'), 'unsatisfiable')
  assert.equal(ask('bytes=0-', undefined, 0), 'unsatisfiable')
})

test('byteRange() takes the whole file for what is no single range', () => {
  for (const range of [
    undefined,
    '',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=0-1,4-5',
    'lines=1-2'
  ]) {
    assert.equal(ask(range), null, String(range))
  }
})

test('byteRange() honours If-Range', () => {
  assert.deepEqual(ask('bytes=0-0', '"a"'), { start: 0, end: 0 })
  assert.equal(ask('bytes=0-0', '"b"'), null)
})

test('namesTag() compares weakly and knows the star', () => {
  assert.ok(namesTag('"x", W/"a"', '"a"'))
  assert.ok(namesTag('*', '"a"'))
  assert.ok(!namesTag('"x"', '"a"'))
  assert.ok(!namesTag(undefined, '"a"'))
})
