/** Five hundred clients at once: everybody is answered or told when to come again, and nothing stays behind. */
import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import { test } from 'node:test'
import { flatImage } from '../../support/images.ts'
import { modelServer } from '../../support/model-server.ts'

const clients = 500
const requestsEach = 20

interface Answered {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

function predict(port: number, agent: Agent, image: Uint8Array): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>()
  const headers = { 'content-type': 'image/png', 'content-length': image.length }
  const path = '/v1/models/light/predictions'
  const sent = request({ port, agent, path, headers, method: 'POST' }, (response) => {
    let body = ''
    response.on('data', (chunk: Buffer) => {
      body += chunk
    })
    response.once('end', () =>
      resolve({
        status: response.statusCode ?? 0,
        retryAfter: response.headers['retry-after'],
        body
      })
    )
  })
  sent.once('error', reject)
  sent.end(image)
  return promise
}

test('500 clients at once are all answered or refused, rightly, and leave nothing behind', async (t) => {
  const server = await modelServer(t, { places: 64 })
  await server.publish('job_1')
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  t.after(() => agent.destroy())
  const images = [await flatImage(255), await flatImage(0)]
  const labels = ['bright', 'dark']
  const counts = new Map<number, number>()
  const client = async (n: number) => {
    for (let i = 0; i < requestsEach; i++) {
      const which = (n + i) % 2
      const { status, retryAfter, body } = await predict(
        server.port,
        agent,
        images[which] ?? new Uint8Array()
      )
      counts.set(status, (counts.get(status) ?? 0) + 1)
      assert.ok([200, 429].includes(status), `received status ${status}: ${body}`)
      if (status === 200) assert.equal(JSON.parse(body).predictions[0].label, labels[which])
      else assert.match(retryAfter ?? '', /^[1-9][0-9]*$/)
    }
  }
  const before = process.memoryUsage().rss
  await Promise.all(Array.from({ length: clients }, (_, n) => client(n)))
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  assert.ok((counts.get(200) ?? 0) > 0 && (counts.get(429) ?? 0) > 0, `received ${[...counts]}`)
  assert.equal((counts.get(200) ?? 0) + (counts.get(429) ?? 0), clients * requestsEach)
  // Both ends of 500 connections are in this process.
  assert.ok(grown < 400, `memory grew by ${grown.toFixed(0)} MiB`)
  assert.deepEqual(
    server.engines.status.models.map(({ waiting }) => waiting),
    [0]
  )
  assert.equal((await predict(server.port, agent, images[0] ?? new Uint8Array())).status, 200)
})
