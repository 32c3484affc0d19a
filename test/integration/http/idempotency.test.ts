import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  forgetOldKeys,
  releaseAbandonedKeys,
  reserveKey
} from '../../../src/catalog/idempotency.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { apiKey } from '../../support/keys.ts'

const spec = { dataset: 'digits', model: 'digits' }
const route = 'POST /v1/jobs'

const post = ({ app }: ApiApp, payload: object, key = 'one', more: Record<string, string> = {}) =>
  app.inject({
    method: 'POST',
    url: '/v1/jobs',
    payload,
    headers: { 'idempotency-key': key, ...more }
  })

const count = async ({ app }: ApiApp) => (await app.inject('/v1/jobs')).json().items.length

test('the same key and payload gives the first answer again and creates nothing', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const first = await post(api, spec)
  const again = await post(api, { model: 'digits', dataset: 'digits' })
  assert.deepEqual([first.statusCode, again.statusCode], [202, 202])
  assert.equal(again.body, first.body)
  assert.equal(again.headers.location, first.headers.location)
  assert.equal(first.headers['idempotency-replayed'], undefined)
  assert.equal(again.headers['idempotency-replayed'], 'true')
  assert.equal(await count(api), 1)
})

test('the same key with another payload is refused: 422', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  await post(api, spec)
  const other = await post(api, { ...spec, seed: 1 })
  assert.deepEqual([other.statusCode, other.json().code], [422, 'IDEMPOTENCY_KEY_REUSED'])
  assert.equal((await post(api, spec)).headers['idempotency-replayed'], 'true')
  assert.equal((await post(api, { ...spec, seed: 1 }, 'two')).statusCode, 202)
})

test('requests at once with one key create one job; the others are told to wait', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  const answers = await Promise.all(Array.from({ length: 8 }, () => post(api, spec)))
  for (const answer of answers.filter(({ statusCode }) => statusCode !== 202)) {
    assert.deepEqual([answer.statusCode, answer.json().code], [409, 'IDEMPOTENCY_IN_PROGRESS'])
    assert.equal(answer.headers['retry-after'], '1')
  }
  assert.equal(await count(api), 1)
})

test('a refusal is an answer too, unless it says that we failed', async (t) => {
  const api = await apiApp(t)
  const refused = await post(api, spec)
  assert.equal(refused.statusCode, 422)
  await readyDataset(api)
  assert.equal((await post(api, spec)).headers['idempotency-replayed'], 'true')
  await api.db.schema.alterTable('jobs').renameTo('elsewhere').execute()
  assert.equal((await post(api, spec, 'two')).statusCode, 500)
  await api.db.schema.alterTable('elsewhere').renameTo('jobs').execute()
  const retried = await post(api, spec, 'two')
  assert.deepEqual([retried.statusCode, retried.headers['idempotency-replayed']], [202, undefined])
})

test('callers do not see each other: the same key of two callers is two keys', async (t) => {
  const apiKeys = ['a', 'b'].map((key) => apiKey(key, 'train'))
  const api = await apiApp(t, { apiKeys })
  await readyDataset(api)
  const ids = ['a', 'b'].map((key) => post(api, spec, 'one', { authorization: `Bearer ${key}` }))
  const [a, b] = await Promise.all(ids)
  assert.deepEqual([a?.statusCode, b?.statusCode], [202, 202])
  assert.notEqual(a?.json().id, b?.json().id)
})

test('a process killed before it could answer has kept the answer with the job', async (t) => {
  const api = await apiApp(t)
  await readyDataset(api)
  let killed = () => {}
  api.dispatcher.dispatch = () => new Promise((_resolve, reject) => (killed = () => reject()))
  const answer = post(api, spec)
  while ((await count(api)) === 0) await new Promise((resolve) => setImmediate(resolve))
  await releaseAbandonedKeys(api.db)
  const [job] = (await api.app.inject('/v1/jobs')).json().items
  const again = await reserveKey(api.db, { caller: '', route, key: 'one' })
  assert.equal(again.kind, 'answered')
  assert.deepEqual(JSON.parse(again.answer.body), job)
  killed()
  await answer
})

test('uploads are compared by fields and files, once they have been read', async (t) => {
  const api = await apiApp(t)
  const url = await api.app.listen({ port: 0, host: '127.0.0.1' })
  const upload = (name: string, file?: string) => {
    const body = new FormData()
    body.set('name', name)
    if (file !== undefined) body.set('file', new Blob([file]), 'archive.zip')
    return fetch(`${url}/v1/datasets`, {
      method: 'POST',
      body,
      headers: { 'idempotency-key': 'up' }
    })
  }
  const first = await upload('photos', 'bytes')
  const body = await first.text()
  const again = await upload('photos', 'bytes')
  assert.deepEqual([first.status, again.status, await again.text()], [202, 202, body])
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  assert.equal(again.headers.get('location'), first.headers.get('location'))
  for (const other of [await upload('photos', 'other bytes'), await upload('photos')]) {
    const { code } = (await other.json()) as { code: string }
    assert.deepEqual([other.status, code], [422, 'IDEMPOTENCY_KEY_REUSED'])
  }
  const { items } = (await api.app.inject('/v1/datasets')).json()
  assert.equal(items.length, 1)
})

test('keys are kept for a day, and those of requests that died with the process go', async (t) => {
  const { db } = await apiApp(t)
  const ref = { caller: '', route, key: 'k' }
  const start = new Date(1_800_000_000_000)
  const later = (hours: number) => new Date(start.getTime() + hours * 3_600_000)
  assert.equal((await reserveKey(db, ref, start)).kind, 'reserved')
  assert.equal((await reserveKey(db, ref, later(1))).kind, 'running')
  await forgetOldKeys(db, later(23))
  assert.equal((await reserveKey(db, ref, later(23))).kind, 'running')
  await releaseAbandonedKeys(db)
  assert.equal((await reserveKey(db, ref, start)).kind, 'reserved')
  await forgetOldKeys(db, later(25))
  assert.deepEqual(await db.selectFrom('idempotency_keys').selectAll().execute(), [])
})
