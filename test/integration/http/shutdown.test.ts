import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { test } from 'node:test'
import { apiApp } from '../../support/api-app.ts'

test('while the api ends, open connections are answered 503 with a problem', async (t) => {
  let answered = () => {}
  const held = new Promise<void>((resolve) => {
    answered = resolve
  })
  const { app, db } = await apiApp(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  // The catalogue's only connection is taken, so the first request stays in flight.
  const taken = db.transaction().execute(() => held)
  const arrived = once(app.server, 'request')
  const first = ask(`${url}/v1/jobs`, agent)
  await arrived
  const second = ask(`${url}/v1/jobs`, agent)
  const closed = app.close()
  await new Promise((resolve) => setImmediate(resolve))
  answered()
  await taken
  assert.equal((await first).status, 200)
  const { status, code, retryAfter } = await second
  assert.deepEqual([status, code, retryAfter], [503, 'SHUTTING_DOWN', '5'])
  await closed
})

function ask(url: string, agent: Agent) {
  return new Promise<{ status: number; code: string; retryAfter: string }>((resolve, reject) => {
    get(url, { agent }, async (response) => {
      let text = ''
      for await (const chunk of response) text += chunk
      const { code } = JSON.parse(text)
      const retryAfter = String(response.headers['retry-after'])
      resolve({ status: response.statusCode ?? 0, code, retryAfter })
    }).on('error', reject)
  })
}
