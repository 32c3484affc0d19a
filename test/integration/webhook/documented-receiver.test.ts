import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sign } from '../../../src/webhook/sign.ts'

interface Receiver {
  readonly verify: (
    headers: Readonly<Record<string, string>>,
    body: string,
    secret: string,
    now: number
  ) => boolean
}

/** The example of the documentation, as a module. */
async function documented(): Promise<Receiver> {
  const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8')
  const [, code] = /^## Webhooks$.*?^```js\n(.*?)^```$/ms.exec(text) ?? []
  assert.ok(code, 'docs/operations.md has an example under Webhooks')
  return import(`data:text/javascript,${encodeURIComponent(code)}`)
}

test('the receiver of docs/operations.md takes what is signed, and nothing else', async () => {
  const { verify } = await documented()
  const key = Buffer.alloc(32, 'k')
  const secret = `whsec_${key.toString('base64')}`
  const message = { id: 'msg_1', timestamp: 1_800_000_000, body: '{"name":"Größe"}' }
  const signature = sign(message, key)
  const headers = {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestamp),
    'webhook-signature': signature
  }
  const now = message.timestamp * 1000
  assert.equal(verify(headers, message.body, secret, now), true)
  const rotated = { ...headers, 'webhook-signature': `v1,AAAA v1a,BBBB ${signature}` }
  assert.equal(verify(rotated, message.body, secret, now), true)
  assert.equal(verify(headers, message.body, secret, now + 301_000), false)
  assert.equal(verify(headers, message.body, secret, now - 301_000), false)
  assert.equal(verify(headers, `${message.body} `, secret, now), false)
  assert.equal(verify({ ...headers, 'webhook-id': 'msg_2' }, message.body, secret, now), false)
  const other = `whsec_${Buffer.alloc(32, 'x').toString('base64')}`
  assert.equal(verify(headers, message.body, other, now), false)
  for (const missing of Object.keys(headers)) {
    const { [missing as 'webhook-id']: _, ...rest } = headers
    assert.equal(verify(rest, message.body, secret, now), false, missing)
  }
})
