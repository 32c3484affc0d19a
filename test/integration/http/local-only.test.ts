/** Without keys, which `Host` and `Origin` are let in: written by hand, as a browser would not. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { apiApp } from '../../support/api-app.ts'
import { apiKey } from '../../support/keys.ts'

/** Head of the answer to a request with these header lines. */
async function ask(port: number, lines: readonly string[], version = '1.1'): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const head = [`GET /v1/engine HTTP/${version}`, ...lines, 'Connection: close', '', '']
  socket.end(head.join('\r\n'))
  const bytes = await Array.fromAsync(socket as AsyncIterable<Buffer>)
  return Buffer.concat(bytes).toString()
}

async function listening(t: TestContext, options: Parameters<typeof apiApp>[1] = {}) {
  const { app } = await apiApp(t, options)
  return Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
}

const local = 'Host: localhost'
const rows: readonly (readonly [lines: readonly string[], status: 200 | 400 | 403])[] = [
  [['Host: 127.0.0.1'], 200],
  [['Host: 127.0.0.1:8000'], 200],
  [['Host: localhost:1'], 200],
  [['Host: LOCALHOST:8000'], 200],
  [['Host: [::1]'], 200],
  [['Host: [::1]:8000'], 200],
  [['Host: [0:0:0:0:0:0:0:1]:8000'], 200],
  [['Host: [::2]:8000'], 403],
  [['Host: [::ffff:10.0.0.1]'], 403],
  [['Host: ::1'], 403],
  [['Host: 0.0.0.0:8000'], 403],
  [['Host: rebound.example:8000'], 403],
  [['Host: localhost.rebound.example'], 403],
  [['Host: 127.0.0.1.rebound.example'], 403],
  [['Host: localhost@rebound.example'], 403],
  [['Host: rebound.example#@localhost'], 403],
  [['Host: localhost:99999'], 403],
  [['Host:'], 403],
  [[], 400],
  [[local, 'Origin: http://localhost:3000'], 200],
  [[local, 'Origin: http://[::1]:3000'], 200],
  [[local, 'Origin: null'], 403],
  [[local, 'Origin:'], 403],
  [[local, 'Origin: file://'], 403],
  [[local, 'Origin: http://rebound.example'], 403],
  [[local, 'Origin: http://localhost.rebound.example'], 403],
  [['Host: rebound.example', 'Origin: http://localhost'], 403]
]

test('only loopback names are let in, whatever the port', async (t) => {
  const port = await listening(t)
  for (const [lines, status] of rows) {
    const answer = await ask(port, lines)
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), `${lines}: ${answer}`)
    if (status === 403) assert.match(answer, /HOST_NOT_ALLOWED/)
  }
})

test('a request without Host, as HTTP/1.0 allows it, is refused as well', async (t) => {
  const port = await listening(t)
  assert.match(await ask(port, [], '1.0'), /^HTTP\/1\.[01] 403 .*HOST_NOT_ALLOWED/s)
  assert.match(await ask(port, [local], '1.0'), /^HTTP\/1\.[01] 200 /)
})

test('with keys, names do not matter: the key does', async (t) => {
  const port = await listening(t, { apiKeys: [apiKey('secret', 'predict')] })
  const foreign = ['Host: whittle.example', 'Origin: https://shop.example']
  assert.match(await ask(port, foreign), /^HTTP\/1.1 401 /)
  assert.match(await ask(port, [...foreign, 'Authorization: Bearer secret']), /^HTTP\/1.1 200 /)
})
