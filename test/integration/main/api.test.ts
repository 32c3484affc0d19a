import assert from 'node:assert/strict'
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openBlobs } from '../../../src/blob/blobs.ts'
import { openCatalog } from '../../../src/catalog/open.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import type { DriftReport } from '../../../src/contract/drift.ts'
import { brightClassifier, brightLabels, brightNetwork } from '../../support/bright-classifier.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { type ListeningApi, listening } from '../../support/forked-api.ts'
import { flatImage } from '../../support/images.ts'
import { publication } from '../../support/publication.ts'
import { readJson } from '../../support/read-json.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const preload = file('support/report-tensorflow.ts')

interface Api extends ListeningApi {
  readonly dataDir: string
  readonly report: string
}

async function startApi(t: TestContext, env: Record<string, string> = {}): Promise<Api> {
  const dataDir = await temporaryFolder(t)
  const report = join(dataDir, 'tensorflow.json')
  const settings = { WHITTLE_DATA_DIR: dataDir, WHITTLE_PORT: '0', WHITTLE_ENGINES: '1' }
  const child = fork(file('../src/main/api.ts'), {
    execArgv: ['--import', preload],
    env: { PATH: process.env.PATH, TENSORFLOW_REPORT: report, ...settings, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  return { ...(await listening(t, child)), dataDir, report }
}

interface Readiness {
  readonly parts: Readonly<Record<'catalogue' | 'redis', { readonly ready: boolean }>>
}

const readiness = async ({ url }: Api): Promise<Readiness> =>
  (await (await fetch(`${url}/health/ready`)).json()) as Readiness

async function ending(api: Api): Promise<number | null> {
  const [code] = await once(api.process, 'exit')
  return code
}

test('the api starts, says where it listens, never loads TensorFlow.js, and ends when asked', async (t) => {
  const redis = await startRedis(t)
  const api = await startApi(t, { REDIS_URL: redis.url })
  const ready = await readiness(api)
  assert.equal(ready.parts.redis.ready, true)
  const body = JSON.stringify({
    dataset: 'none',
    model: 'm',
    recipe: { augment: [{ op: 'flip' }] }
  })
  const headers = { 'content-type': 'application/json' }
  const post = await fetch(`${api.url}/v1/jobs`, { method: 'POST', body, headers })
  assert.equal(post.status, 422)
  const docs = await (await fetch(`${api.url}/docs`)).text()
  assert.match(docs, /\/v1\/jobs\/\{id\}/)
  const ended = ending(api)
  api.process.kill('SIGTERM')
  assert.equal(await ended, 0, api.output())
  const lines = api
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(lines.filter(({ msg }) => msg === `listening at ${api.url}`).length, 1)
  assert.deepEqual(JSON.parse(readFileSync(api.report, 'utf8')), [])
})

test('what a model was asked outlives the api: its drift is told, its predictions can be fed back', async (t) => {
  const dataDir = await temporaryFolder(t)
  const db = await openCatalog(join(dataDir, 'catalog', 'catalog.sqlite'))
  const blobs = await openBlobs(join(dataDir, 'blobs'))
  const stored = await blobs.put(brightClassifier())
  const onnx = { file: 'int8.onnx', mediaType: 'application/octet-stream', ...stored }
  const given = { network: brightNetwork, labels: brightLabels, artifacts: [onnx] }
  await publishVersion(db, publication('job_1', { ...given, variants: ['int8'], model: 'light' }))
  await db.destroy()
  const redis = await startRedis(t)
  const settings = { REDIS_URL: redis.url, WHITTLE_DATA_DIR: dataDir }
  const first = await startApi(t, settings)
  const body = Uint8Array.from(await flatImage(0))
  const headers = { 'content-type': 'image/png' }
  const path = '/v1/models/light'
  const asked = await fetch(`${first.url}${path}/predictions`, { method: 'POST', headers, body })
  const { id } = await readJson<{ id: string }>(asked)
  // At once: neither has been stored yet.
  const ended = ending(first)
  first.process.kill('SIGTERM')
  assert.equal(await ended, 0, first.output())
  const second = await startApi(t, settings)
  const drift = await readJson<DriftReport>(fetch(`${second.url}${path}/drift`))
  assert.deepEqual(
    drift.variants.map(({ served, reference }) => [served, reference.images, reference.source]),
    [[1, 1, 'first-served']]
  )
  const told = await fetch(`${second.url}${path}/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prediction: id, label: 'bright' })
  })
  assert.equal(told.status, 200)
  const { correct } = await readJson<{ correct: boolean }>(told)
  assert.equal(correct, false)
})

test('the watch for TensorFlow.js sees it when it is loaded', async (t) => {
  const report = join(await temporaryFolder(t), 'tensorflow.json')
  const code = "require('@tensorflow/tfjs-core')"
  const child = spawn(process.execPath, ['--import', preload, '--eval', code], {
    cwd: file('..'),
    env: { PATH: process.env.PATH, TENSORFLOW_REPORT: report }
  })
  await once(child, 'exit')
  assert.notEqual(JSON.parse(readFileSync(report, 'utf8')).length, 0)
})

test('without Redis the api starts and answers; it ends when its parent is gone', async (t) => {
  const nowhere = join(await temporaryFolder(t), 'no-redis')
  const api = await startApi(t, { REDIS_URL: nowhere })
  const ready = await readiness(api)
  assert.deepEqual([ready.parts.redis.ready, ready.parts.catalogue.ready], [false, true])
  const ended = ending(api)
  api.process.disconnect()
  assert.equal(await ended, 0, api.output())
})

test('an api whose output has no room left answers, and ends when it is asked to', async (t) => {
  const dataDir = await temporaryFolder(t)
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const child = fork(file('../src/main/api.ts'), {
    env: {
      PATH: process.env.PATH,
      WHITTLE_DATA_DIR: dataDir,
      WHITTLE_PORT: '0',
      WHITTLE_ENGINES: '1',
      REDIS_URL: join(dataDir, 'no-redis')
    },
    stdio: ['ignore', full, full, 'ipc']
  })
  t.after(() => child.kill('SIGKILL'))
  const [{ url }] = await once(child, 'message')
  const form = new FormData()
  form.set('name', 'empty')
  const answers = [
    await fetch(`${url}/v1/datasets`, { method: 'POST', body: form }),
    await fetch(`${url}/nothing-here`)
  ]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 404]
  )
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})

test('keys of the settings open the api, have the limits of the settings, and are audited', async (t) => {
  const api = await startApi(t, {
    REDIS_URL: join(await temporaryFolder(t), 'no-redis'),
    // printf secret | sha256sum
    WHITTLE_API_KEYS:
      'sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b,train:other',
    WHITTLE_REQUESTS_PER_MINUTE: '2',
    WHITTLE_LOG_LEVEL: 'silent'
  })
  const ask = (key: string, method = 'GET', path = '/v1/keys') =>
    fetch(`${api.url}${path}`, { method, headers: { authorization: `Bearer ${key}` } })
  const answers = [await ask('secret'), await ask('secret', 'DELETE', '/v1/models/m')]
  const refused = [await ask('secret'), await ask('other')]
  assert.deepEqual(
    [...answers, ...refused].map(({ status }) => status),
    [200, 404, 429, 403]
  )
  await until(() => api.output().includes('\n'))
  const [line, ...others] = api.output().trim().split('\n')
  assert.deepEqual(others, [])
  const { audit, caller, method, status } = JSON.parse(line ?? '')
  assert.deepEqual([audit, caller, method, status], [true, 'env_2bb80d53', 'DELETE', 404])
  assert.doesNotMatch(api.output(), /secret/)
})

test('a second api on the same data folder refuses, and so do bad settings', async (t) => {
  const nowhere = join(await temporaryFolder(t), 'no-redis')
  const api = await startApi(t, { REDIS_URL: nowhere })
  const refused = async (env: Record<string, string>) => {
    const child = fork(file('../src/main/api.ts'), {
      env: { PATH: process.env.PATH, REDIS_URL: nowhere, ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    let text = ''
    child.stderr?.on('data', (chunk) => {
      text += chunk
    })
    const [code] = await once(child, 'exit')
    return [code, text] as const
  }
  const [locked, why] = await refused({ WHITTLE_DATA_DIR: api.dataDir, WHITTLE_PORT: '0' })
  assert.equal(locked, 78)
  assert.match(why, /an api \(process \d+/)
  const [port, taken] = await refused({
    WHITTLE_DATA_DIR: join(api.dataDir, 'other'),
    WHITTLE_PORT: new URL(api.url).port
  })
  assert.equal(port, 78)
  assert.match(taken, /the port is in use/)
  const [setting] = await refused({ WHITTLE_DATA_DIR: api.dataDir, WHITTLE_PORT: 'x' })
  assert.equal(setting, 78)
  const [tracing, unknown] = await refused({
    WHITTLE_DATA_DIR: join(api.dataDir, 'other'),
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc'
  })
  assert.equal(tracing, 78)
  assert.match(unknown, /OTEL_EXPORTER_OTLP_PROTOCOL must be one of .* received "grpc"/)
  const ended = ending(api)
  api.process.send({ type: 'shutdown' })
  assert.equal(await ended, 0)
})
