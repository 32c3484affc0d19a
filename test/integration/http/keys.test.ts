/** Keys made over REST: what they open, for how long, and that nothing but their digest is kept. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { KeyRing } from '../../../src/service/key-ring.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { apiKey, showing } from '../../support/keys.ts'

const admin = showing('a-key')
const apiKeys = [apiKey('a-key', 'admin')]

async function make({ app }: ApiApp, spec: object = {}, headers: Record<string, string> = {}) {
  const payload = { name: 'ci', scope: 'train', ...spec }
  const options = { method: 'POST', url: '/v1/keys', payload } as const
  const answer = await app.inject({ ...options, headers: { ...admin, ...headers } })
  return { answer, body: answer.json(), text: answer.body, status: answer.statusCode }
}

/** What a key is answered where scope `train` is needed. */
const status = async ({ app }: ApiApp, key: string) =>
  (await app.inject({ url: '/v1/jobs', headers: showing(key) })).statusCode

/** Every text of every table, as a thief of the catalogue would read it. */
async function everything({ db }: ApiApp): Promise<string> {
  const { rows } = await sql<{ name: string }>`
    select name from sqlite_master where type = 'table'`.execute(db)
  const tables = rows.map(({ name }) => sql`select * from ${sql.table(name)}`.execute(db))
  return JSON.stringify(await Promise.all(tables))
}

test('a key is shown once, opens what its scope says, and is kept as a digest only', async (t) => {
  const api = await apiApp(t, { apiKeys })
  const { answer, body } = await make(api, { limits: { jobsQueued: 3 } })
  assert.equal(answer.statusCode, 201)
  assert.equal(answer.headers.location, `/v1/keys/${body.id}`)
  const [, id, secret = ''] = /^whittle_([0-9a-z]{26})_([\w-]{43})$/.exec(body.key) ?? []
  assert.equal(`key_${id}`, body.id)
  assert.equal(Buffer.from(secret, 'base64url').length, 32)
  const unused = { trainingSeconds: 0, bytesStored: 0, jobsQueued: 0 }
  const { day, ...usage } = body.usage
  assert.match(day, /^\d{4}-\d\d-\d\d$/)
  assert.deepEqual(
    [body.name, body.scope, body.limits, body.expiresAt, body.revokedAt, usage],
    ['ci', 'train', { jobsQueued: 3 }, null, null, unused]
  )
  assert.equal(await status(api, body.key), 200)
  assert.equal(await status(api, `${body.key}x`), 401)
  const forbidden = await api.app.inject({ url: '/v1/keys', headers: showing(body.key) })
  assert.equal(forbidden.statusCode, 403)
  const { key, ...shown } = body
  const again = await api.app.inject({ url: `/v1/keys/${body.id}`, headers: admin })
  assert.deepEqual(again.json(), shown)
  assert.doesNotMatch(again.body, /sha256|digest/)
  assert.ok(!(await everything(api)).includes(secret))
})

test('keys are listed newest first, page by page, with what they use today', async (t) => {
  const api = await apiApp(t, { apiKeys })
  await readyDataset(api)
  const made: { id: string; key: string }[] = []
  for (const name of ['one', 'two', 'three']) made.push((await make(api, { name })).body)
  const payload = { dataset: 'digits', model: 'digits' }
  const headers = showing(made[1]?.key ?? '')
  await api.app.inject({ method: 'POST', url: '/v1/jobs', payload, headers })
  const page = async (query: string) =>
    (await api.app.inject({ url: `/v1/keys?${query}`, headers: admin })).json()
  const first = await page('limit=2')
  const names = ({ items }: { items: { name: string }[] }) => items.map(({ name }) => name)
  assert.deepEqual([names(first), first.next], [['three', 'two'], made[1]?.id])
  assert.deepEqual(
    first.items.map(({ usage }: { usage: { jobsQueued: number } }) => usage.jobsQueued),
    [0, 1]
  )
  const second = await page(`limit=2&cursor=${first.next}`)
  assert.deepEqual([names(second), second.next], [['one'], null])
})

test('a revoked key is refused from the next request on, and after a restart', async (t) => {
  const api = await apiApp(t, { apiKeys })
  const url = await api.app.listen({ port: 0, host: '127.0.0.1' })
  const { body } = await make(api)
  const ask = () => fetch(`${url}/v1/jobs`, { headers: showing(body.key) })
  assert.equal((await ask()).status, 200)
  const revoke = { method: 'DELETE', headers: admin } as const
  assert.equal((await fetch(`${url}/v1/keys/${body.id}`, revoke)).status, 204)
  const refused = await ask()
  assert.equal(refused.status, 401)
  assert.match(await refused.text(), /the key was revoked/)
  const { revokedAt } = (
    await api.app.inject({ url: `/v1/keys/${body.id}`, headers: admin })
  ).json()
  assert.ok(Date.parse(revokedAt) >= Date.parse(body.createdAt))
  // Once more changes nothing; a change of what is revoked is refused.
  assert.equal((await fetch(`${url}/v1/keys/${body.id}`, revoke)).status, 204)
  const change = {
    method: 'PATCH',
    url: `/v1/keys/${body.id}`,
    payload: {},
    headers: admin
  } as const
  assert.equal((await api.app.inject(change)).json().code, 'KEY_NOT_FOUND')
  const next = await KeyRing.open({ db: api.db, configured: apiKeys, defaults: {} })
  assert.deepEqual(next.find(body.key), { refusal: 'the key was revoked' })
})

test('an expired key is told so; expiry, name and limits can be changed', async (t) => {
  const api = await apiApp(t, { apiKeys })
  const { body } = await make(api, { expiresAt: '2090-01-01T01:00:00+01:00' })
  assert.equal(body.expiresAt, '2090-01-01T00:00:00.000Z')
  assert.ok('caller' in api.keys.find(body.key, Date.parse(body.expiresAt) - 1))
  assert.deepEqual(api.keys.find(body.key, Date.parse(body.expiresAt)), {
    refusal: 'the key expired at 2090-01-01T00:00:00.000Z'
  })
  // Time passes for the catalogue only.
  await api.db.updateTable('api_keys').set({ expires_at: '2020-01-01T00:00:00.000Z' }).execute()
  const later = await KeyRing.open({ db: api.db, configured: apiKeys, defaults: {} })
  assert.match(JSON.stringify(later.find(body.key)), /expired at 2020-01-01/)
  const payload = { name: 'renamed', limits: { requestsPerMinute: 1 }, expiresAt: null }
  const url = `/v1/keys/${body.id}`
  const changed = await api.app.inject({ method: 'PATCH', url, payload, headers: admin })
  const { name, limits, expiresAt } = changed.json()
  assert.deepEqual({ name, limits, expiresAt }, payload)
  assert.equal(await status(api, body.key), 200)
  assert.equal(await status(api, body.key), 429, 'the new limit holds at once')
})

test('an expiry that is past, or no time at all, is refused with a pointer', async (t) => {
  const api = await apiApp(t, { apiKeys })
  for (const expiresAt of ['2020-01-01T00:00:00Z', '2090-13-41T00:00:00Z', 'tomorrow', 1]) {
    const { body } = await make(api, { expiresAt })
    const [fault] = body.errors ?? []
    assert.deepEqual([body.code, fault?.pointer], ['REQUEST_INVALID', '/expiresAt'], `${expiresAt}`)
    assert.equal(fault.received, expiresAt)
  }
  assert.deepEqual((await api.app.inject({ url: '/v1/keys', headers: admin })).json().items, [])
})

test('what is wrong with a key is named; an unknown one is not found', async (t) => {
  const api = await apiApp(t, { apiKeys })
  const rows = [
    [{ name: '' }, '/name'],
    [{ scope: 'root' }, '/scope'],
    [{ limits: { jobsQueued: -1 } }, '/limits/jobsQueued'],
    [{ limits: { gpus: 1 } }, '/limits/gpus']
  ] as const
  for (const [spec, pointer] of rows) {
    const { body } = await make(api, spec)
    assert.deepEqual([body.status, body.errors?.[0]?.pointer], [422, pointer])
  }
  for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
    const payload = method === 'PATCH' ? { payload: {} } : {}
    const asked = { method, url: '/v1/keys/env_12345678', headers: admin, ...payload }
    assert.equal((await api.app.inject(asked)).json().code, 'KEY_NOT_FOUND')
  }
})

test('without configured keys none can be made, and those of before are not asked for', async (t) => {
  const api = await apiApp(t)
  const { body } = await make(api)
  assert.deepEqual([body.status, body.code], [409, 'KEYS_NOT_CONFIGURED'])
  assert.match(body.detail, /WHITTLE_API_KEYS/)
  assert.equal(await status(api, 'anything'), 200)
})

test('the same idempotency key shows the same new key again, to its maker alone', async (t) => {
  const api = await apiApp(t, { apiKeys: [...apiKeys, apiKey('b-key', 'admin')] })
  const first = await make(api, {}, { 'idempotency-key': 'once' })
  assert.equal(first.status, 201)
  const secret = first.body.key.slice(-43)
  assert.ok(!(await everything(api)).includes(secret), 'the kept answer is encrypted')
  const again = await make(api, {}, { 'idempotency-key': 'once' })
  assert.deepEqual([again.status, again.text], [201, first.text])
  assert.equal(again.answer.headers['idempotency-replayed'], 'true')
  assert.equal(again.answer.headers.location, first.answer.headers.location)
  const other = await make(api, {}, { 'idempotency-key': 'once', ...showing('b-key') })
  assert.equal(other.status, 201)
  assert.notEqual(other.body.id, first.body.id)
  const changed = await make(api, { name: 'x' }, { 'idempotency-key': 'once' })
  assert.equal(changed.body.code, 'IDEMPOTENCY_KEY_REUSED')
  // What the catalogue holds of it does not open with another key.
  const row = api.db.selectFrom('idempotency_keys').selectAll().where('status', '=', 201)
  const kept = await row.execute()
  assert.equal(kept.length, 2)
  assert.notEqual(kept[0]?.body, kept[1]?.body)
})

test('an id of a configured key tells nothing of it, and is the same after a restart', async (t) => {
  const api = await apiApp(t, { apiKeys: [apiKey('one', 'train'), apiKey('one', 'admin')] })
  const found = api.keys.find('one')
  // The first eight digits of `printf one | sha256sum`; of a key given twice the first counts.
  const caller = { id: 'env_7692c3ad', scope: 'train', limits: {} }
  assert.deepEqual(found, { caller })
})
