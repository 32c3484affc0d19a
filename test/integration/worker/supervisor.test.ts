import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { Outcome } from '../../../src/contract/internal.ts'
import { createApiClient } from '../../../src/worker/api-client.ts'
import { createSupervisor, type Supervisor } from '../../../src/worker/supervisor.ts'
import { type FakeApi, startFakeApi } from '../../support/fake-api.ts'
import { trainerBench } from '../../support/trainer-run.ts'

interface Scene {
  readonly api: FakeApi
  readonly supervisor: Supervisor
  readonly cacheDir: string
  /** Process id of the trainer, once there is one. */
  trainer(): Promise<number>
  run(lost?: AbortSignal): Promise<void>
}

const never = new AbortController().signal

async function scene(t: TestContext, epochs: number): Promise<Scene> {
  const bench = await trainerBench(t, {
    network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
    train: { epochs, batchSize: 16, learningRate: 0.05 },
    quantize: { images: 64 }
  })
  const { assignment, paths } = bench
  const api = await startFakeApi(t, { assignment, dataset: paths.dataset })
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const cacheDir = join(dirname(paths.dataset), 'cache')
  const supervisor = createSupervisor({
    api: createApiClient({ url: api.url, token: 'x' }),
    log,
    worker: 'w',
    cacheDir,
    engine: 'auto',
    threads: 1,
    heartbeatMs: 100,
    graceMs: 10_000
  })
  return {
    api,
    supervisor,
    cacheDir,
    run: (lost = never) => supervisor.run({ id: assignment.job, dispatch: 1 }, lost),
    async trainer() {
      for (;;) {
        const [, pid] = /"trainer":(\d+)/.exec(lines.join('')) ?? []
        if (pid !== undefined) return Number(pid)
        await sleep(20)
      }
    }
  }
}

const epochsTold = ({ events }: FakeApi): number[] =>
  events.flatMap((event) => (event.type === 'metric' ? [event.metric.epoch] : []))

async function reach(api: FakeApi, epochs: number): Promise<void> {
  while (epochsTold(api).length < epochs) await sleep(10)
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const only = (outcomes: readonly Outcome[]): Outcome | undefined => {
  assert.equal(outcomes.length, 1, JSON.stringify(outcomes))
  return outcomes[0]
}

test('run() carries a job from its claim to its outcome', async (t) => {
  const { api, run, cacheDir } = await scene(t, 4)
  await run()
  const outcome = only(api.outcomes)
  assert.equal(outcome?.kind, 'completed')
  assert.deepEqual(epochsTold(api), [1, 2, 3, 4])
  for (const { path, bytes, sha256 } of api.files) {
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, path)
  }
  const names = api.files.map(({ path }) => path)
  for (const file of ['baseline.onnx', 'int8.onnx', 'graph.json', 'weights.safetensors']) {
    assert.ok(names.includes(`artifacts/${file}`), file)
  }
  assert.ok(names.some((name) => name.startsWith('checkpoints/')))
  assert.deepEqual(await readdir(join(cacheDir, 'scratch')), [])
})

test('an api away for longer than the trainer keeps a checkpoint gets a later one', async (t) => {
  const { api, run, supervisor } = await scene(t, 5000)
  api.checkpoints = 'away'
  const running = run()
  await reach(api, 8)
  api.checkpoints = 'kept'
  while (api.files.length < 2) await sleep(10)
  await supervisor.shutdown()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  for (const { path, bytes, sha256 } of api.files) {
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, path)
  }
})

test('run() of a superseded attempt ends its trainer and says nothing', async (t) => {
  const { api, run, trainer, cacheDir } = await scene(t, 5000)
  const running = run()
  await reach(api, 2)
  api.order = 'stale'
  await running
  assert.deepEqual(api.outcomes, [])
  assert.equal(isRunning(await trainer()), false)
  assert.deepEqual(await readdir(join(cacheDir, 'scratch')), [])
})

test('run() whose lock is lost ends its trainer and says nothing', async (t) => {
  const { api, run, trainer } = await scene(t, 5000)
  const lost = new AbortController()
  const running = run(lost.signal)
  await reach(api, 1)
  lost.abort()
  await running
  assert.deepEqual(api.outcomes, [])
  assert.equal(isRunning(await trainer()), false)
})

test('an order to cancel ends the job as cancelled', async (t) => {
  const { api, run } = await scene(t, 5000)
  const running = run()
  await reach(api, 1)
  api.order = 'cancel'
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'cancelled' })
})

test('an order to stop ends training early and publishes', async (t) => {
  const { api, run } = await scene(t, 5000)
  const running = run()
  await reach(api, 1)
  api.order = 'stop'
  await running
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'completed')
  assert.equal(outcome.stopReason, 'stopped')
})

test('shutdown() has the trainer checkpoint first, then releases the job', async (t) => {
  const { api, run, supervisor } = await scene(t, 5000)
  const running = run()
  await reach(api, 2)
  assert.equal(supervisor.busy, 1)
  await supervisor.shutdown()
  await running
  assert.equal(supervisor.busy, 0)
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  assert.match(api.files.at(-1)?.path ?? '', /^checkpoints\//)
  await run()
  assert.equal(api.outcomes.length, 1, 'nothing new is taken')
})

test('a trainer that is killed is a crash, with its signal and whether it had got on', async (t) => {
  const { api, run, trainer } = await scene(t, 5000)
  const running = run()
  await reach(api, 3)
  process.kill(await trainer(), 'SIGKILL')
  await running
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'crashed')
  assert.deepEqual([outcome.exitCode, outcome.signal, outcome.progressed], [null, 'SIGKILL', true])
})

test('files that the api cannot measure are a crash that says why', async (t) => {
  const { api, run } = await scene(t, 1)
  api.latency = 'refused'
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'crashed')
  assert.match(outcome.detail, /MODEL_INVALID: not a model/)
})
