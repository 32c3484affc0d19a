/** The worker role as a process of its own, with a real Redis and a stand-in for the api. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createProducer } from '../../../src/queue/producer.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { type FakeApi, startFakeApi } from '../../support/fake-api.ts'
import { isRunning, processesOf } from '../../support/processes.ts'
import { startRedis } from '../../support/redis.ts'
import { trainerBench } from '../../support/trainer-run.ts'
import { until } from '../../support/until.ts'

const script = fileURLToPath(new URL('../../../src/main/worker.ts', import.meta.url))
const place = { priority: 'normal', turn: 1, begun: false } as const

interface Scene {
  readonly api: FakeApi
  readonly worker: ChildProcess
  /** Hands the job over as dispatch `n`. */
  dispatch(n: number): Promise<void>
  /** Process id of the trainer that runs now. */
  trainer(): number
}

async function scene(t: TestContext): Promise<Scene> {
  const redis = await startRedis(t)
  const { assignment, paths } = await trainerBench(t, {
    network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
    train: { epochs: 5000, batchSize: 16, learningRate: 0.05 },
    quantize: null
  })
  const api = await startFakeApi(t, { assignment, dataset: paths.dataset })
  const producer = createProducer({ redisUrl: redis.url })
  t.after(() => producer.close())
  await new Promise<void>((resolve) => producer.onReady(resolve))
  const worker = fork(script, {
    env: {
      PATH: process.env.PATH,
      REDIS_URL: redis.url,
      WHITTLE_API_URL: api.url,
      WHITTLE_WORKER_TOKEN: 'x',
      WHITTLE_CACHE_DIR: join(dirname(paths.dataset), 'cache'),
      WHITTLE_THREADS: '1',
      WHITTLE_LOG_LEVEL: 'error'
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  t.after(() => worker.kill('SIGKILL'))
  await once(worker, 'message')
  return {
    api,
    worker,
    dispatch: (n) => producer.dispatchJob(assignment.job, n, place),
    trainer() {
      const found = processesOf(worker.pid ?? 0).find(({ command }) =>
        command.includes('trainer.ts')
      )
      return found?.pid ?? 0
    }
  }
}

const epochs = ({ events }: FakeApi): number =>
  events.filter(({ type }) => type === 'metric').length

const reach = (api: FakeApi, count: number): Promise<void> => until(() => epochs(api) >= count)

test('a worker that was frozen past its lease is refused, ends its trainer, and takes new work', async (t) => {
  const { api, worker, dispatch, trainer } = await scene(t)
  await dispatch(1)
  await reach(api, 2)
  const first = trainer()
  worker.kill('SIGSTOP')
  // Meanwhile the catalogue gives the job to another attempt, as it does after a silence.
  api.attempt = 2
  const told = api.events.length
  worker.kill('SIGCONT')
  await until(() => api.refused > 0 && !isRunning(first))
  assert.deepEqual([api.events.length, api.outcomes], [told, []])

  await dispatch(2)
  await reach(api, epochs(api) + 1)
  assert.equal(api.claims, 2)
  const ended = once(worker, 'exit')
  worker.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
  assert.deepEqual(api.outcomes, [{ kind: 'released' }])
  assert.ok(api.files.some(({ path }) => path.startsWith('checkpoints/')))
})

test('a killed worker takes its trainer with it', async (t) => {
  const { api, worker, dispatch, trainer } = await scene(t)
  await dispatch(1)
  await reach(api, 1)
  const pid = trainer()
  assert.ok(isRunning(pid))
  worker.kill('SIGKILL')
  await until(() => !isRunning(pid))
})

/** A worker that has just been started, with an api that knows nothing. */
async function starting(t: TestContext): Promise<{ worker: ChildProcess; said: () => string }> {
  const redis = await startRedis(t)
  const api = createServer((_request, response) => response.writeHead(404).end())
  api.listen(0, '127.0.0.1')
  t.after(() => api.close())
  await once(api, 'listening')
  const worker = fork(script, {
    env: {
      PATH: process.env.PATH,
      REDIS_URL: redis.url,
      WHITTLE_API_URL: `http://127.0.0.1:${(api.address() as AddressInfo).port}`,
      WHITTLE_WORKER_TOKEN: 'x',
      WHITTLE_CACHE_DIR: await temporaryFolder(t),
      WHITTLE_ENGINE: 'wasm',
      WHITTLE_LOG_LEVEL: 'error'
    },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc']
  })
  t.after(() => worker.kill('SIGKILL'))
  let said = ''
  worker.stderr?.on('data', (text) => {
    said += text
  })
  return { worker, said: () => said }
}

test('a worker whose parent goes while it starts ends in order', async (t) => {
  const { worker, said } = await starting(t)
  worker.disconnect()
  assert.deepEqual(await once(worker, 'exit'), [0, null], said())
})

test('a worker whose look for an engine is killed may be started again', async (t) => {
  const { worker, said } = await starting(t)
  const look = () =>
    processesOf(worker.pid ?? 0).find(({ command }) => command.includes('trainer.ts'))
  await until(() => look() !== undefined)
  process.kill(look()?.pid ?? 0, 'SIGKILL')
  // 78 would tell npm start that another start cannot help, and end everything.
  assert.deepEqual(await once(worker, 'exit'), [1, null], said())
})
