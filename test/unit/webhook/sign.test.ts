import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { sign } from '../../../src/webhook/sign.ts'

/** The test vector that the libraries of Standard Webhooks share. */
const published = {
  secret: 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  message: {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}'
  },
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
}

test('sign() gives the signature of the published test vector', () => {
  const { secret, message, signature } = published
  assert.equal(sign(message, Buffer.from(secret, 'base64')), signature)
})

test('sign() agrees with HMAC as RFC 2104 defines it, for keys of every length', () => {
  for (const length of [24, 32, 64]) {
    const key = Buffer.alloc(length, 'key')
    const message = { id: 'msg_1', timestamp: 1_800_000_000, body: '{"name":"Größe"}' }
    const text = Buffer.from(`msg_1.1800000000.${message.body}`)
    assert.equal(sign(message, key), `v1,${hmac(key, text).toString('base64')}`)
  }
})

test('sign() covers id, time and body', () => {
  const key = Buffer.alloc(32, 'key')
  const message = { id: 'msg_1', timestamp: 1, body: '{}' }
  const others = [{ id: 'msg_2' }, { timestamp: 2 }, { body: '{} ' }]
  const signatures = [{}, ...others].map((change) => sign({ ...message, ...change }, key))
  assert.equal(new Set(signatures).size, 4)
})

/** For keys of at most a block of 64 bytes. */
function hmac(key: Buffer, text: Buffer): Buffer {
  const block = Buffer.concat([key, Buffer.alloc(64 - key.length)])
  const padded = (pad: number) => Buffer.from(block.map((byte) => byte ^ pad))
  const digest = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  return digest(padded(0x5c), digest(padded(0x36), text))
}
