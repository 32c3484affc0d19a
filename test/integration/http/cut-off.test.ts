/** Long answers end with the key of whoever asked for them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { openEvents } from '../../support/event-reader.ts'
import { apiKey, showing } from '../../support/keys.ts'

const headers = showing('admin')

async function made({ app }: ApiApp) {
  const payload = { name: 'ci', scope: 'train' }
  const answer = await app.inject({ method: 'POST', url: '/v1/keys', payload, headers })
  return answer.json() as { id: string; key: string; createdAt: string }
}

test('a stream of events is cut off when its key is revoked, and no other is', async (t) => {
  const api = await apiApp(t, { apiKeys: [apiKey('admin', 'admin')] })
  await readyDataset(api)
  const payload = { dataset: 'digits', model: 'digits' }
  const posted = await api.app.inject({ method: 'POST', url: '/v1/jobs', payload, headers })
  const base = await api.app.listen({ port: 0, host: '127.0.0.1' })
  const address = `${base}/v1/jobs/${posted.json().id}`
  const [lost, kept] = [await made(api), await made(api)]
  const followers = []
  for (const key of [lost.key, kept.key, 'admin']) {
    const follower = await openEvents(t, `${address}/events`, { key })
    assert.deepEqual((await follower.next())?.event, 'state')
    followers.push(follower)
  }
  const [first, ...others] = followers
  await api.app.inject({ method: 'DELETE', url: `/v1/keys/${lost.id}`, headers })
  // Not ended: an end would say that there is nothing more to tell.
  await assert.rejects(first?.rest() ?? Promise.resolve(), /terminated/)
  await fetch(`${address}/cancel`, { method: 'POST', headers })
  for (const follower of others) assert.equal((await follower.rest()).at(-1)?.event, 'end')
})

test('a key is open until it expires or is revoked; those of the settings always are', async (t) => {
  const api = await apiApp(t, { apiKeys: [apiKey('admin', 'admin')] })
  const { id } = await made(api)
  const at = Date.parse('2090-01-01T00:00:00Z')
  assert.ok(api.keys.isOpen(id, at))
  await api.keys.change(id, { expiresAt: '2090-01-01T00:00:00Z' })
  assert.deepEqual([api.keys.isOpen(id, at - 1), api.keys.isOpen(id, at)], [true, false])
  await api.keys.revoke(id)
  assert.equal(api.keys.isOpen(id, at - 1), false)
  const configured = api.keys.find('admin')
  assert.ok('caller' in configured && api.keys.isOpen(configured.caller.id, at))
})
