import assert from 'node:assert/strict'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Resolve } from '../../../src/webhook/resolve.ts'
import { sendWebhook, type WebhookTry } from '../../../src/webhook/send.ts'
import { until } from '../../support/until.ts'
import { isSigned, webhookReceiver } from '../../support/webhook-receiver.ts'

const secret = Buffer.alloc(32, 'k').toString('base64')
const at = new Date(1_800_000_000_500)

const send = (url: string, changes: Partial<WebhookTry> = {}) =>
  sendWebhook({
    id: 'msg_1',
    url,
    body: '{"name":"Größe"}',
    key: Buffer.from(secret, 'base64'),
    at,
    targets: 'any',
    ...changes
  })

const resolveTo =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

test('sendWebhook() sends the body as it is, signed, and gives the status', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = (response) => response.writeHead(204).end()
  assert.deepEqual(await send(receiver.url), { status: 204, error: null })
  const [message] = receiver.received
  assert.ok(message)
  assert.equal(message.path, '/hook?token=hidden')
  assert.equal(message.body, '{"name":"Größe"}')
  assert.equal(message.headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(message.headers['webhook-id'], 'msg_1')
  assert.equal(message.headers['webhook-timestamp'], '1800000000')
  assert.ok(isSigned(message, secret))
  assert.ok(!isSigned(message, `${secret.slice(0, -2)}A=`))
})

test('a redirect is an answer and is not followed', async (t) => {
  const receiver = await webhookReceiver(t)
  const other = await webhookReceiver(t)
  receiver.answer = (response) => response.writeHead(307, { location: other.url }).end()
  assert.deepEqual(await send(receiver.url), { status: 307, error: null })
  assert.deepEqual([receiver.received.length, other.received.length], [1, 0])
})

test('a name is resolved once, and the connection goes to the address that was judged', async (t) => {
  const receiver = await webhookReceiver(t)
  const asked: string[] = []
  const resolve: Resolve = async (hostname) => {
    asked.push(hostname)
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const url = `http://hooks.example:${receiver.port}/`
  assert.deepEqual(await send(url, { resolve }), { status: 200, error: null })
  assert.deepEqual(asked, ['hooks.example'])
  assert.equal(receiver.received[0]?.headers.host, `hooks.example:${receiver.port}`)
})

test('every message has a connection of its own, so each is judged', async (t) => {
  const receiver = await webhookReceiver(t)
  const url = `http://hooks.example:${receiver.port}/`
  let asked = 0
  const resolve: Resolve = async () => {
    asked += 1
    return [{ address: '127.0.0.1', family: 4 }]
  }
  for (let n = 0; n < 3; n += 1) await send(url, { resolve })
  assert.equal(asked, 3)
  assert.ok(receiver.received.every(({ headers }) => headers.connection === 'close'))
})

const privateAnswers = [
  ['127.0.0.1'],
  ['10.1.2.3'],
  ['169.254.169.254'],
  ['::1'],
  ['::ffff:127.0.0.1'],
  ['fe80::1'],
  ['8.8.8.8', '127.0.0.1'],
  ['2606:4700:4700::1111', 'fd00::1']
]

test('a name that resolves to an address that is not public is not called', async (t) => {
  const receiver = await webhookReceiver(t)
  const url = `https://hooks.example:${receiver.port}/?token=hidden`
  for (const addresses of privateAnswers) {
    const answer = await send(url, { targets: 'public', resolve: resolveTo(...addresses) })
    assert.equal(answer.status, null)
    assert.match(answer.error ?? '', /^WEBHOOK_ADDRESS_REFUSED: .*hooks\.example/, addresses.join())
    for (const address of [...addresses, 'hidden']) assert.ok(!answer.error?.includes(address))
  }
  for (const url of [receiver.url, `https://127.0.0.1:${receiver.port}/`, 'https://localhost/']) {
    const answer = await send(url, { targets: 'public' })
    assert.match(answer.error ?? '', /^WEBHOOK_ADDRESS_REFUSED: /, url)
  }
  assert.equal(receiver.received.length, 0)
})

test('who cannot be reached is the error of the try', async (t) => {
  const receiver = await webhookReceiver(t)
  const refused = await send(`http://127.0.0.2:${receiver.port}/?token=hidden`)
  assert.match(refused.error ?? '', /^connect ECONNREFUSED/)
  assert.doesNotMatch(refused.error ?? '', /hidden/)
  const unknown: Resolve = async () => {
    throw new Error('getaddrinfo ENOTFOUND hooks.example')
  }
  const lost = await send('http://hooks.example/', { resolve: unknown })
  assert.deepEqual(lost, { status: null, error: 'getaddrinfo ENOTFOUND hooks.example' })
  const nowhere = await send('http://hooks.example/', { resolve: resolveTo() })
  assert.match(nowhere.error ?? '', /no address/)
  // Both addresses are tried, and both are named.
  const both = resolveTo('127.0.0.2', '127.0.0.3')
  const none = await send(`http://hooks.example:${receiver.port}/`, { resolve: both })
  assert.match(none.error ?? '', /127\.0\.0\.2.*127\.0\.0\.3/)
  const encrypted = await send(receiver.url.replace('http:', 'https:'))
  assert.equal(encrypted.status, null)
  assert.equal(receiver.received.length, 0)
})

/** A server that does with each connection what `talk` says, once it has been sent something. */
async function rawServer(t: TestContext, talk: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.once('data', () => talk(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/`, sockets }
}

/** Writes for as long as the other side takes it. */
function writeForEver(socket: Socket, chunk: string): void {
  const write = () => {
    if (!socket.destroyed) socket.write(chunk, () => setImmediate(write))
  }
  write()
}

test('a receiver that never answers costs the time limit and no more', async (t) => {
  const silent = await rawServer(t, () => {})
  const answer = await send(silent.url, { timeoutMs: 50 })
  assert.deepEqual(answer, { status: null, error: 'no answer within 0.05 s' })
  await until(() => silent.sockets.size === 0)
})

test('a name server that never answers costs the time limit and no more', async () => {
  const resolve: Resolve = () => new Promise(() => {})
  const answer = await send('http://hooks.example/', { resolve, timeoutMs: 50 })
  assert.deepEqual(answer, { status: null, error: 'no answer within 0.05 s' })
})

test('a receiver that answers without end has answered, and is hung up on', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
  const talker = await rawServer(t, (socket) => {
    socket.write(head)
    writeForEver(socket, `4000\r\n${'x'.repeat(0x4000)}\r\n`)
  })
  assert.deepEqual(await send(talker.url), { status: 200, error: null })
  await until(() => talker.sockets.size === 0)
})

test('a receiver that stops in the middle of its answer has answered, and is hung up on', async (t) => {
  const half = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\nhalf')
  })
  assert.deepEqual(await send(half.url), { status: 201, error: null })
  await until(() => half.sockets.size === 0)
})

test('huge headers, endless headers, nonsense and silence are errors', async (t) => {
  const huge = await rawServer(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1_000_000)}\r\n\r\n`)
  })
  const endless = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    writeForEver(socket, 'x: y\r\n')
  })
  for (const { url } of [huge, endless]) {
    assert.match((await send(url)).error ?? '', /[Hh]eader/)
  }
  const waits = await rawServer(t, (socket) => {
    writeForEver(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n')
  })
  const nonsense = await rawServer(t, (socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n'))
  const hangsUp = await rawServer(t, (socket) => socket.end())
  const resets = await rawServer(t, (socket) => socket.resetAndDestroy())
  const upgrades = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n')
  })
  const servers = { waits, nonsense, hangsUp, resets, upgrades }
  for (const [name, { url, sockets }] of Object.entries(servers)) {
    const { status, error } = await send(url, { timeoutMs: 500 })
    assert.equal(status, null, name)
    assert.notEqual(error, '', name)
    await until(() => sockets.size === 0)
  }
})

test('a try that is broken off ends at once', async (t) => {
  const silent = await rawServer(t, () => {})
  const abort = new AbortController()
  const sent = send(silent.url, { signal: abort.signal })
  await until(() => silent.sockets.size === 1)
  abort.abort()
  assert.equal((await sent).status, null)
  await until(() => silent.sockets.size === 0)
})
