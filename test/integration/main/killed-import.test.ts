/** SIGKILL of the api in the middle of an import, with real processes: the next one ends it. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../../support/catalog.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'
import { shapesZip } from '../../support/whittle.ts'

const script = fileURLToPath(new URL('../../../src/main/api.ts', import.meta.url))

async function startApi(t: TestContext, dataDir: string, redis: string) {
  const settings = { WHITTLE_DATA_DIR: dataDir, WHITTLE_PORT: '0', REDIS_URL: redis }
  const child: ChildProcess = fork(script, {
    env: { PATH: process.env.PATH, ...settings, WHITTLE_LOG_LEVEL: 'fatal' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  t.after(() => child.kill('SIGKILL'))
  const [message] = await once(child, 'message')
  return { child, url: (message as { readonly url: string }).url }
}

const show = async (url: string) => (await fetch(`${url}/v1/datasets/shapes`)).json()

/** Images that importers have staged. */
function staged(dataDir: string): number {
  const imports = join(dataDir, 'imports')
  const folders = existsSync(imports) ? readdirSync(imports) : []
  return folders
    .map((folder) => join(imports, folder, 'files'))
    .reduce((sum, files) => sum + (existsSync(files) ? readdirSync(files).length : 0), 0)
}

test('an import that was killed with its api is run again at the next start', async (t) => {
  const redis = await startRedis(t)
  const dataDir = await temporaryFolder(t)
  const first = await startApi(t, dataDir, redis.url)
  const form = new FormData()
  form.set('name', 'shapes')
  form.set('file', new Blob([await shapesZip({ seed: 1, perClass: 400 })]), 'shapes.zip')
  const answer = await fetch(`${first.url}/v1/datasets`, { method: 'POST', body: form })
  assert.equal(answer.status, 202)
  await until(() => staged(dataDir) >= 50)
  const killed = once(first.child, 'exit')
  first.child.kill('SIGKILL')
  await killed

  const second = await startApi(t, dataDir, redis.url)
  let dataset: Record<string, unknown> = {}
  await until(async () => {
    dataset = (await show(second.url)) as Record<string, unknown>
    return dataset.status !== 'importing'
  })
  const { status, images, version, error } = dataset
  assert.deepEqual([status, images, version, error], ['ready', 1200, 1, null])
  // The archive goes last, after the answer that the dataset is ready.
  await until(() => readdirSync(join(dataDir, 'uploads')).length === 0)
  assert.deepEqual(readdirSync(join(dataDir, 'imports')), [])
  const ended = once(second.child, 'exit')
  second.child.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})
