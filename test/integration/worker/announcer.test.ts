import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WorkerRegistry } from '../../../src/service/worker-registry.ts'
import { startAnnouncing } from '../../../src/worker/announcer.ts'
import { createApiClient } from '../../../src/worker/api-client.ts'
import { apiApp, quiet, workerToken } from '../../support/api-app.ts'
import { until } from '../../support/until.ts'

const engine = { name: 'wasm', version: '4', reason: 'nothing else is here', threads: 1 } as const

async function listening(t: TestContext, port = 0) {
  const workers = new WorkerRegistry()
  const { app } = await apiApp(t, {}, { workers })
  const url = await app.listen({ host: '127.0.0.1', port })
  return { app, workers, url, port: (app.server.address() as AddressInfo).port }
}

function announced(t: TestContext, url: string) {
  const done: string[] = []
  const announcer = startAnnouncing({
    api: createApiClient({ url, token: workerToken }),
    consumer: {
      pause: async () => void done.push('pause'),
      resume: async () => void done.push('resume')
    },
    log: quiet(),
    worker: 'host-1',
    engine,
    slots: 2,
    busy: () => 1,
    everyMs: 5
  })
  t.after(() => announcer.close())
  return { announcer, done }
}

test('startAnnouncing() drains on order, drains on with the next api, and resumes on order', async (t) => {
  const first = await listening(t)
  const { done } = announced(t, first.url)
  const entry = ({ workers }: typeof first) => workers.list()[0]
  await until(() => entry(first) !== undefined)
  first.workers.order('host-1', 'drain')
  await until(() => entry(first)?.draining === true)
  assert.deepEqual(done, ['pause'])
  await first.app.close()

  const second = await listening(t, first.port)
  await until(() => entry(second) !== undefined)
  assert.deepEqual([entry(second)?.order, entry(second)?.draining], ['drain', true])
  second.workers.order('host-1', 'work')
  await until(() => entry(second)?.draining === false)
  assert.deepEqual(done, ['pause', 'resume'])
})

test('startAnnouncing() retires whatever the api orders, and says goodbye', async (t) => {
  const api = await listening(t)
  const { announcer, done } = announced(t, api.url)
  await until(() => api.workers.list().length === 1)
  await announcer.retire()
  await until(() => api.workers.list()[0]?.draining === true)
  api.workers.order('host-1', 'work')
  const { seenAt } = api.workers.list()[0] ?? {}
  await until(() => api.workers.list()[0]?.seenAt !== seenAt)
  assert.deepEqual(done, ['pause'])
  await announcer.close()
  assert.deepEqual(api.workers.list(), [])
})
