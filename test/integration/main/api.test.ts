import assert from 'node:assert/strict'
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../../support/catalog.ts'
import { startRedis } from '../../support/redis.ts'

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const preload = file('support/report-tensorflow.ts')

interface Api {
  readonly url: string
  readonly process: ChildProcess
  readonly dataDir: string
  readonly report: string
  output(): string
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
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk
    })
  }
  const ended = once(child, 'exit').then(() => assert.fail(`the api ended: ${output}`))
  const [message] = await Promise.race([once(child, 'message'), ended])
  ended.catch(() => {})
  return {
    url: (message as { url: string }).url,
    process: child,
    dataDir,
    report,
    output: () => output
  }
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
  const ended = ending(api)
  api.process.send({ type: 'shutdown' })
  assert.equal(await ended, 0)
})
