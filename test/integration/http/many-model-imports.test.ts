/** More models made elsewhere at a time than are taken. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { apiApp } from '../../support/api-app.ts'
import { fixture, measured, send } from '../../support/foreign-models.ts'
import { until } from '../../support/until.ts'

test('a ninth model at a time is refused before it is read, until one has been taken', async (t) => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  t.after(() => release())
  let measuring = 0
  const measureLatency = async (question: Parameters<typeof measured>[0]) => {
    measuring += 1
    await released
    return measured(question)
  }
  const api = await apiApp(t, {}, { measureLatency })
  // Without this, supertest would listen anew for every request.
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  const file = await fixture('torch-like')
  const taken = Promise.all(Array.from({ length: 8 }, () => send(api, file)))
  await until(() => measuring === 8)
  // Its body never comes.
  const { port } = api.app.server.address() as AddressInfo
  const path = '/v1/models/animals/versions'
  const headers = { 'content-type': 'multipart/form-data; boundary=b', 'content-length': 1000 }
  const ninth = request({ port, host: '127.0.0.1', path, method: 'POST', headers })
  ninth.on('error', () => {})
  ninth.flushHeaders()
  const [refused] = (await once(ninth, 'response')) as [IncomingMessage]
  assert.equal(refused.statusCode, 429)
  assert.match(refused.headers['retry-after'] ?? '', /^[1-9]\d*$/)
  const problem = JSON.parse(Buffer.concat(await refused.toArray()).toString())
  assert.equal(problem.code, 'QUEUE_FULL')
  ninth.destroy()
  release()
  assert.deepEqual(new Set((await taken).map(({ status }) => status)), new Set([201]))
  assert.equal((await send(api, file)).status, 201)
})
