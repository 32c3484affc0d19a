import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../../support/catalog.ts'
import { type ListeningApi, listening } from '../../support/forked-api.ts'
import { until } from '../../support/until.ts'
import { isSigned, webhookReceiver } from '../../support/webhook-receiver.ts'

const script = fileURLToPath(new URL('../../../src/main/api.ts', import.meta.url))

/** An api without Redis: what is told does not depend on it. */
async function startApi(t: TestContext, dataDir: string): Promise<ListeningApi> {
  const child = fork(script, {
    env: {
      PATH: process.env.PATH,
      REDIS_URL: join(dataDir, 'no-redis'),
      WHITTLE_DATA_DIR: dataDir,
      WHITTLE_PORT: '0',
      WHITTLE_ENGINES: '1',
      WHITTLE_WEBHOOK_TARGETS: 'any'
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  return listening(t, child)
}

/** A job on a dataset whose import waits for Redis, cancelled: the shortest life of a job. */
async function cancelledJob({ url }: ListeningApi, webhook: object): Promise<string> {
  const form = new FormData()
  form.set('name', 'digits')
  form.set('file', new Blob(['not read before Redis is there']), 'digits.zip')
  const upload = await fetch(`${url}/v1/datasets`, { method: 'POST', body: form })
  assert.equal(upload.status, 202, await upload.text())
  const body = JSON.stringify({ dataset: 'digits', model: 'digits', webhook })
  const headers = { 'content-type': 'application/json' }
  const posted = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body })
  const { id } = (await posted.json()) as { id: string }
  assert.equal((await fetch(`${url}/v1/jobs/${id}/cancel`, { method: 'POST' })).status, 202)
  return id
}

test('an api that is killed while it tells of a job tells it again after its start', async (t) => {
  const dataDir = await temporaryFolder(t)
  const receiver = await webhookReceiver(t)
  receiver.answer = () => {}
  const first = await startApi(t, dataDir)
  const job = await cancelledJob(first, { url: receiver.url })
  await until(() => receiver.received.length === 1)
  const killed = once(first.process, 'exit')
  first.process.kill('SIGKILL')
  await killed

  receiver.answer = (response) => void response.end()
  const second = await startApi(t, dataDir)
  const log = async () => (await fetch(`${second.url}/v1/jobs/${job}/deliveries`)).json()
  await until(async () => {
    const { items } = (await log()) as { items: { state: string }[] }
    return items[0]?.state === 'delivered'
  })
  const secret = (await readFile(join(dataDir, 'catalog/webhook-secret'), 'utf8')).trim()
  const [one, two, ...others] = receiver.received
  assert.ok(one && two && others.length === 0)
  assert.ok(isSigned(one, secret) && isSigned(two, secret))
  assert.equal(one.body, two.body)
  assert.equal(one.headers['webhook-id'], two.headers['webhook-id'])
  for (const hidden of ['hidden', secret]) {
    assert.ok(!(first.output() + second.output()).includes(hidden))
  }
})

test('an api ends although a receiver has not answered yet', async (t) => {
  const receiver = await webhookReceiver(t)
  receiver.answer = () => {}
  const api = await startApi(t, await temporaryFolder(t))
  await cancelledJob(api, { url: receiver.url })
  await until(() => receiver.received.length === 1)
  const ended = once(api.process, 'exit')
  api.process.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null], api.output())
})
