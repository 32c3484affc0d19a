/** What befalls an attempt around its training: damaged copies, no process to be had, lost time, signals. */
import assert from 'node:assert/strict'
import { cp, readdir, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { Outcome } from '../../../src/contract/internal.ts'
import type { Assignment } from '../../../src/contract/job.ts'
import { createApiClient } from '../../../src/worker/api-client.ts'
import { Attempt } from '../../../src/worker/attempt.ts'
import { type FakeApi, startFakeApi } from '../../support/fake-api.ts'
import { trainerBench } from '../../support/trainer-run.ts'
import { until } from '../../support/until.ts'

interface Scene {
  readonly api: FakeApi
  /** What the api serves, and where the worker keeps its copy of it. */
  readonly dataset: string
  readonly copy: string
  /** Runs an attempt, and gives the outcome that it reported. */
  run(): Promise<Outcome | undefined>
  /** Process id of the trainer, once there is one. */
  trainer(): Promise<number>
}

async function scene(
  t: TestContext,
  { epochs, secondsLeft = null }: { readonly epochs: number } & Partial<Assignment>
): Promise<Scene> {
  const bench = await trainerBench(t, {
    network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
    train: { epochs, batchSize: 16, learningRate: 0.05 },
    quantize: null
  })
  const { dataset } = bench.paths
  const assignment: Assignment = { ...bench.assignment, secondsLeft }
  const api = await startFakeApi(t, { assignment, dataset })
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const cacheDir = join(dirname(dataset), 'cache')
  const client = createApiClient({ url: api.url, token: 'x' })
  const basics = { api: client, log, worker: 'w', cacheDir, engine: 'auto', threads: 1 }
  const started = () => /"trainer":(\d+)/.exec(lines.join(''))?.[1]
  return {
    api,
    dataset,
    copy: join(cacheDir, 'datasets', assignment.dataset.hash),
    async run() {
      const before = api.outcomes.length
      await new Attempt({ ...basics, heartbeatMs: 100 }).run(assignment.job, 1)
      assert.equal(api.outcomes.length, before + 1)
      return api.outcomes.at(-1)
    },
    async trainer() {
      await until(() => started() !== undefined)
      return Number(started())
    }
  }
}

test('a copy of the dataset that has lost bytes puts the job off, and is fetched anew', async (t) => {
  const { dataset, copy, run } = await scene(t, { epochs: 1 })
  await cp(dataset, copy, { recursive: true })
  await truncate(join(copy, 'images.tar'), 5000)
  const outcome = await run()
  assert.ok(outcome?.kind === 'postponed', JSON.stringify(outcome))
  assert.match(outcome.detail, /copy of the dataset was damaged: Cannot (read|build)/)
  assert.deepEqual(await readdir(copy), ['manifest.jsonl'])
  assert.equal((await run())?.kind, 'completed')
})

test('a dataset that comes damaged from the api is a crash, and is fetched anew all the same', async (t) => {
  const { dataset, copy, run } = await scene(t, { epochs: 1 })
  await truncate(join(dataset, 'images.tar'), 5000)
  const outcome = await run()
  assert.ok(outcome?.kind === 'crashed', JSON.stringify(outcome))
  assert.equal(outcome.cause, 'supervisor')
  assert.deepEqual(await readdir(copy), ['manifest.jsonl'])
})

test('a trainer that the system does not start puts the job off, with the reason', async (t) => {
  const { run } = await scene(t, { epochs: 1 })
  const node = process.execPath
  t.after(() => {
    process.execPath = node
  })
  // Node tells of the first in an event, and of the second at once.
  for (const [path, code] of [
    ['/nowhere/node', 'ENOENT'],
    ['/dev/null/node', 'ENOTDIR']
  ] as const) {
    process.execPath = path
    const outcome = await run()
    assert.ok(outcome?.kind === 'postponed', JSON.stringify(outcome))
    assert.match(outcome.detail, new RegExp(`^Cannot start a trainer: spawn .*${code}`))
  }
})

test('the time of downloads is taken from the limit of a job', async (t) => {
  const { api, run } = await scene(t, { epochs: 5000, secondsLeft: 4 })
  api.datasets = 'away'
  const running = run()
  await until(() => api.claims === 1)
  await sleep(4100)
  api.datasets = 'served'
  const outcome = await running
  assert.ok(outcome?.kind === 'completed', JSON.stringify(outcome))
  assert.equal(outcome.stopReason, 'limit')
  const decisions = api.events.flatMap((event) => (event.type === 'decision' ? event.decision : []))
  assert.deepEqual(decisions, [{ stage: 'train', reason: 'limit', updates: 1 }])
})

test('SIGTERM to a trainer has it checkpoint, and its job go on elsewhere', async (t) => {
  const { api, run, trainer } = await scene(t, { epochs: 5000 })
  const running = run()
  await until(() => api.events.some(({ type }) => type === 'metric') || api.outcomes.length > 0)
  process.kill(await trainer(), 'SIGTERM')
  assert.deepEqual(await running, { kind: 'released' })
  assert.match(api.files.at(-1)?.path ?? '', /^checkpoints\//)
})
