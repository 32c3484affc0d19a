import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import Fastify from 'fastify'
import { impatient } from '../../../src/http/plugins/impatient.ts'

/** A server that refuses with `Retry-After: SECONDS` at `/SECONDS`, and answers `/200`. */
async function refusing(t: TestContext) {
  const app = Fastify()
  let held = 0
  const hold = async () => {
    held += 1
  }
  impatient(app, { hold })
  app.get('/200', async () => 'fine')
  app.get('/:seconds', async ({ params }, reply) => {
    const { seconds } = params as { readonly seconds: string }
    return reply.code(429).header('retry-after', seconds).send('full')
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.after(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const client = () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    return (path: string) =>
      new Promise<number>((resolve, reject) => {
        request({ port, path, agent }, (response) => {
          response.resume().once('end', () => resolve(response.statusCode ?? 0))
        })
          .once('error', reject)
          .end()
      })
  }
  return { client, held: () => held }
}

test('a refusal is held when the connection was told to wait for longer, and only then', async (t) => {
  const { client, held } = await refusing(t)
  const [eager, other] = [client(), client()]
  assert.deepEqual([await eager('/60'), held()], [429, 0])
  assert.deepEqual([await other('/60'), held()], [429, 0])
  assert.deepEqual([await eager('/60'), held()], [429, 1])
  assert.deepEqual([await eager('/200'), held()], [200, 1])
  assert.deepEqual([await eager('/60'), held()], [429, 2])
})

test('a refusal is not held once the time that was told has passed', async (t) => {
  const { client, held } = await refusing(t)
  const patient = client()
  for (let i = 0; i < 3; i++) assert.equal(await patient('/0'), 429)
  assert.equal(held(), 0)
})
