import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import type { Outcome } from '../../../src/contract/internal.ts'
import type { TrainAssignment } from '../../../src/contract/job.ts'
import { createApiClient } from '../../../src/worker/api-client.ts'
import type { AttemptOptions } from '../../../src/worker/attempt.ts'
import { createSupervisor, type Supervisor } from '../../../src/worker/supervisor.ts'
import { type FakeApi, startFakeApi } from '../../support/fake-api.ts'
import { isRunning } from '../../support/processes.ts'
import { trainerBench } from '../../support/trainer-run.ts'
import { until } from '../../support/until.ts'

interface Scene {
  readonly api: FakeApi
  readonly supervisor: Supervisor
  readonly cacheDir: string
  /** Process ids of the trainers, in the order in which they were started. */
  trainers(): number[]
  /** Process id of the first trainer, once there is one. */
  trainer(): Promise<number>
  run(lockLost?: AbortSignal, dispatch?: number): Promise<void>
}

const never = new AbortController().signal

interface SceneOptions extends Partial<AttemptOptions> {
  readonly epochs: number
  readonly assignment?: Partial<TrainAssignment>
  readonly patienceMs?: number
}

async function scene(
  t: TestContext,
  { epochs, assignment: changes = {}, patienceMs = 600_000, ...options }: SceneOptions
): Promise<Scene> {
  const bench = await trainerBench(t, {
    network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
    train: { epochs, batchSize: 16, learningRate: 0.05 },
    quantize: { images: 64 }
  })
  const { paths } = bench
  const assignment = { ...bench.assignment, ...changes }
  const api = await startFakeApi(t, { assignment, dataset: paths.dataset })
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const cacheDir = join(dirname(paths.dataset), 'cache')
  const supervisor = createSupervisor({
    api: createApiClient({ url: api.url, token: 'x', patienceMs }),
    log,
    worker: 'w',
    cacheDir,
    engine: 'auto',
    threads: 1,
    heartbeatMs: 100,
    ...options
  })
  const trainers = (): number[] =>
    [...lines.join('').matchAll(/"trainer":(\d+)/g)].map(([, pid]) => Number(pid))
  return {
    api,
    supervisor,
    cacheDir,
    run: (lockLost = never, dispatch = 1) =>
      supervisor.run({ id: assignment.job, dispatch }, lockLost),
    trainers,
    async trainer() {
      await until(() => trainers().length > 0)
      return trainers()[0] ?? 0
    }
  }
}

const epochsTold = ({ events }: FakeApi): number[] =>
  events.flatMap((event) => (event.type === 'metric' ? [event.metric.epoch] : []))

/** Waits until so many epochs were told. An attempt that ends before has failed. */
async function reach(api: FakeApi, epochs: number): Promise<void> {
  await until(() => epochsTold(api).length >= epochs || api.outcomes.length > 0)
  assert.deepEqual(api.outcomes, [])
}

const logOf = ({ events }: FakeApi): string =>
  events.map((event) => (event.type === 'log' ? event.message : '')).join('\n')

/** Attempts whose folders are still there. */
const scratchOf = async (cacheDir: string): Promise<string[]> =>
  (await readdir(join(cacheDir, 'scratch'))).filter((name) => name.startsWith('job_'))

const only = (outcomes: readonly Outcome[]): Outcome | undefined => {
  assert.equal(outcomes.length, 1, JSON.stringify(outcomes))
  return outcomes[0]
}

test('run() carries a job from its claim to its outcome', async (t) => {
  const { api, run, cacheDir } = await scene(t, { epochs: 4 })
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
  assert.deepEqual(await scratchOf(cacheDir), [])
})

test('an api away for longer than the trainer keeps a checkpoint gets a later one', async (t) => {
  const { api, run, supervisor } = await scene(t, { epochs: 5000 })
  api.checkpoints = 'away'
  const running = run()
  await reach(api, 8)
  api.checkpoints = 'kept'
  await until(() => api.files.length >= 2)
  await supervisor.shutdown()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  for (const { path, bytes, sha256 } of api.files) {
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, path)
  }
})

test('run() of a superseded attempt ends its trainer and says nothing', async (t) => {
  const { api, run, trainer, cacheDir } = await scene(t, { epochs: 5000 })
  const running = run()
  await reach(api, 2)
  api.attempt += 1
  await running
  assert.deepEqual(api.outcomes, [])
  assert.equal(isRunning(await trainer()), false)
  assert.deepEqual(await scratchOf(cacheDir), [])
})

test('a lost lock has the api asked at once, and the attempt goes on', async (t) => {
  const { api, run, trainers } = await scene(t, { epochs: 5000, heartbeatMs: 600_000 })
  const lost = new AbortController()
  const running = run(lost.signal)
  await reach(api, 1)
  assert.equal(api.beats, 1)
  lost.abort()
  await until(() => api.beats === 2)
  const before = epochsTold(api).length
  await reach(api, before + 3)
  api.order = 'cancel'
  // The same dispatch once more, from another consumer: the answer to its question is the order.
  await run()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'cancelled' })
  assert.deepEqual([api.claims, trainers().length], [1, 1])
})

test('a dispatch of a job that runs here already starts no second trainer', async (t) => {
  const { api, run, trainers } = await scene(t, { epochs: 5000 })
  const running = run()
  // While the first is being claimed, and while its trainer is at work.
  await run()
  await reach(api, 1)
  await Promise.all([run(), run(never, 2)])
  assert.deepEqual([api.claims, trainers().length], [1, 1])
  const before = epochsTold(api).length
  await reach(api, before + 1)
  api.order = 'cancel'
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'cancelled' })
})

test('a newer dispatch of a superseded attempt waits for its end, then has a trainer of its own', async (t) => {
  const { api, run, trainers } = await scene(t, { epochs: 5000, heartbeatMs: 600_000 })
  const running = run()
  await reach(api, 1)
  api.attempt = 2
  const next = run(never, 2)
  await running
  await until(() => trainers().length === 2)
  assert.equal(isRunning(trainers()[0] ?? 0), false)
  assert.ok(api.refused > 0)
  const before = epochsTold(api).length
  await reach(api, before + 1)
  assert.deepEqual([api.claims, api.outcomes], [2, []])
  process.kill(trainers()[1] ?? 0, 'SIGKILL')
  await next
  assert.equal(only(api.outcomes)?.kind, 'crashed')
})

test('a newer dispatch whose question is broken off by a refusal is not taken for a second one', async (t) => {
  const { api, run, trainers } = await scene(t, { epochs: 5000, heartbeatMs: 600_000 })
  const running = run()
  await reach(api, 1)
  api.heartbeats = 'held'
  const next = run(never, 2)
  await until(() => api.beats === 2)
  api.attempt = 2
  await running
  api.heartbeats = 'answered'
  await until(() => trainers().length === 2)
  assert.equal(api.claims, 2)
  process.kill(trainers()[1] ?? 0, 'SIGKILL')
  await next
})

test('an order to cancel ends the job as cancelled', async (t) => {
  const { api, run } = await scene(t, { epochs: 5000 })
  const running = run()
  await reach(api, 1)
  api.order = 'cancel'
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'cancelled' })
})

test('an order to stop ends training early and publishes', async (t) => {
  const { api, run } = await scene(t, { epochs: 5000 })
  const running = run()
  await reach(api, 1)
  api.order = 'stop'
  await running
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'completed')
  assert.equal(outcome.stopReason, 'stopped')
})

test('shutdown() has the trainer checkpoint first, then releases the job', async (t) => {
  const { api, run, supervisor } = await scene(t, { epochs: 5000 })
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
  const { api, run, trainer } = await scene(t, { epochs: 5000 })
  const running = run()
  await reach(api, 3)
  process.kill(await trainer(), 'SIGKILL')
  await running
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'crashed')
  const { cause, exitCode, signal, progressed } = outcome
  assert.deepEqual([cause, exitCode, signal, progressed], ['signal', null, 'SIGKILL', true])
  assert.match(
    outcome.detail,
    /ended unasked with signal SIGKILL; its memory had reached \d+\.\d MiB/
  )
  assert.match(logOf(api), /crashed \(signal\): The trainer ended unasked with signal SIGKILL/)
})

test('a trainer that takes more memory than it was allowed fails the job, with the figures', async (t) => {
  const allowance = { memoryBytes: 2 ** 20, diskBytes: 2 ** 40 }
  const { api, run } = await scene(t, { epochs: 5000, assignment: { allowance } })
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'failed', JSON.stringify(outcome))
  assert.equal(outcome.code, 'MEMORY_EXCEEDED')
  assert.match(
    outcome.detail,
    /may take 1\.0 MiB .* has taken \d+\.\d MiB, at its peak \d+\.\d MiB/
  )
})

test('a trainer that takes more disk than it was allowed fails the job, with the figures', async (t) => {
  // The pack alone, of 240 images of 16 x 16 x 3 bytes, is more.
  const allowance = { memoryBytes: 2 ** 40, diskBytes: 150_000 }
  const { api, run, trainers } = await scene(t, { epochs: 5000, assignment: { allowance } })
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'failed', JSON.stringify(outcome))
  assert.equal(outcome.code, 'DISK_EXCEEDED')
  assert.match(outcome.detail, /may take 0\.1 MiB of disk and has taken 0\.\d MiB/)
  assert.equal(isRunning(trainers()[0] ?? 0), false)
})

test('an api whose disk is full puts the job off, and is no crash', async (t) => {
  const { api, run } = await scene(t, { epochs: 5000, patienceMs: 0 })
  api.checkpoints = 'full'
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'postponed', JSON.stringify(outcome))
  assert.match(outcome.detail, /DISK_FULL: Cannot store the file/)
})

test('a checkpoint that is out of reach ends the attempt, not the job, and starts nothing anew', async (t) => {
  const checkpoints = [{ name: 'checkpoint-1.safetensors', sha256: '0'.repeat(64), bytes: 1 }]
  const { api, run, trainers } = await scene(t, {
    epochs: 5000,
    assignment: { checkpoints },
    patienceMs: 0
  })
  api.checkpoints = 'away'
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'crashed', JSON.stringify(outcome))
  assert.deepEqual([outcome.cause, trainers()], ['supervisor', []])
  assert.match(logOf(api), /crashed \(supervisor\): .* SHUTTING_DOWN: bye/)
})

test('shutdown() ends a trainer that does nothing that it is told', async (t) => {
  const { api, run, supervisor, trainer } = await scene(t, { epochs: 5000, trainerMs: 50 })
  const running = run()
  await reach(api, 2)
  // A stopped process hears neither orders nor SIGTERM; SIGKILL ends it all the same.
  process.kill(await trainer(), 'SIGSTOP')
  await supervisor.shutdown()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  assert.equal(isRunning(await trainer()), false)
})

test('shutdown() gives a checkpoint up that cannot be stored in time, and releases the job', async (t) => {
  const { api, run, supervisor } = await scene(t, { epochs: 5000, reportMs: 50 })
  api.checkpoints = 'away'
  const running = run()
  await reach(api, 2)
  await supervisor.shutdown()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  assert.deepEqual(
    api.files.filter(({ path }) => path.startsWith('checkpoints/')),
    []
  )
})

test('shutdown() does not wait for an api that is away', async (t) => {
  const { api, run, supervisor, cacheDir } = await scene(t, { epochs: 5000 })
  api.datasets = 'away'
  const running = run()
  await until(() => api.claims === 1)
  await supervisor.shutdown()
  await running
  assert.deepEqual(only(api.outcomes), { kind: 'released' })
  assert.deepEqual(await scratchOf(cacheDir), [])
})

test('files that the api cannot measure are a crash that says why', async (t) => {
  const { api, run } = await scene(t, { epochs: 1 })
  api.latency = 'refused'
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'crashed')
  assert.match(outcome.detail, /MODEL_INVALID: not a model/)
})

test('a report that is refused fails the job, and says what was refused', async (t) => {
  const { api, run } = await scene(t, { epochs: 1 })
  api.reports = 'refused'
  await run()
  const outcome = only(api.outcomes)
  assert.ok(outcome?.kind === 'failed', JSON.stringify(outcome))
  assert.equal(outcome.code, 'MODEL_INVALID')
  assert.match(outcome.detail, /as completed: the api refuses it: .*int8\.onnx is not there/)
})

test('a checkpoint that the api calls damaged is passed over, and named with every new one', async (t) => {
  const name = 'checkpoint-000007.safetensors'
  const checkpoints = [{ name, sha256: '0'.repeat(64), bytes: 1 }]
  const { api, run } = await scene(t, { epochs: 2, assignment: { checkpoints } })
  api.checkpoints = 'damaged'
  await run()
  assert.equal(only(api.outcomes)?.kind, 'completed')
  const stored = api.files.filter(({ path }) => path.startsWith('checkpoints/'))
  assert.equal(stored[0]?.path, 'checkpoints/checkpoint-000008.safetensors')
  assert.ok(stored.every(({ damaged }) => damaged === name))
  assert.match(logOf(api), /checkpoint-000007\.safetensors cannot be fetched: .*CHECKPOINT_DAMAGED/)
})
