import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { consumeImports, consumeJobs } from '../../../src/queue/consumer.ts'
import type { Dispatch } from '../../../src/queue/names.ts'
import type { Place } from '../../../src/queue/place.ts'
import { createProducer, type Producer } from '../../../src/queue/producer.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const place = { priority: 'normal', turn: 0, begun: false } as const
const ready = (producer: Producer): Promise<void> =>
  new Promise((resolve) => producer.onReady(resolve))

interface Scene {
  readonly redis: RedisServer
  /** One that has not reached Redis yet. */
  produce(): Producer
  /** Closed with the test, however it ends: what keeps a connection open keeps the process alive. */
  closing<T extends { close(): Promise<void> }>(resource: T): T
}

async function scene(t: TestContext): Promise<Scene> {
  const resources: { close(): Promise<void> }[] = []
  // Before Redis's own hook, since these run in order and BullMQ closes with its server.
  t.after(() => Promise.all(resources.map((resource) => resource.close())))
  const redis = await startRedis(t)
  const closing: Scene['closing'] = (resource) => {
    resources.push(resource)
    return resource
  }
  return { redis, closing, produce: () => closing(createProducer({ redisUrl: redis.url })) }
}

/** Redis dies and comes back empty. A producer notices its end later than the process that waited for it. */
async function restart(redis: RedisServer, producer: Producer): Promise<void> {
  await redis.kill()
  await until(() => producer.status === 'away')
  await redis.start()
  await ready(producer)
}

test('dispatchJob() reaches the consumer of jobs, once for the same dispatch', async (t) => {
  const { redis, closing, produce } = await scene(t)
  const producer = produce()
  await ready(producer)
  await producer.dispatchJob('job_a', 1, place)
  await producer.dispatchJob('job_a', 1, place)
  await producer.dispatchJob('job_a', 2, place)
  await producer.dispatchImport('ds_b', 1)
  const seen: Dispatch[] = []
  const done = new EventEmitter()
  const run = async (dispatch: Dispatch): Promise<void> => {
    seen.push(dispatch)
    if (seen.length === 3) done.emit('three')
  }
  const finished = once(done, 'three')
  closing(consumeJobs({ redisUrl: redis.url, run }))
  closing(consumeImports({ redisUrl: redis.url, run }))
  await finished
  assert.deepEqual(seen.map(({ id, dispatch }) => `${id}-${dispatch}`).toSorted(), [
    'ds_b-1',
    'job_a-1',
    'job_a-2'
  ])
})

test('dispatchJob() rejects at once while Redis is away, and works when it is back', async (t) => {
  const { redis, closing, produce } = await scene(t)
  const producer = produce()
  await ready(producer)
  await redis.kill()
  await assert.rejects(producer.dispatchJob('job_a', 1, place))
  await until(() => producer.status === 'away')
  const back = ready(producer)
  await redis.start()
  await back
  await producer.dispatchJob('job_a', 1, place)
  const got = new EventEmitter()
  const first = once(got, 'run')
  closing(
    consumeJobs({
      redisUrl: redis.url,
      run: async (dispatch) => void got.emit('run', dispatch)
    })
  )
  const [dispatch] = await first
  assert.deepEqual(dispatch, { id: 'job_a', dispatch: 1 })
})

test('consumeJobs() goes on after an outage that outlasts its poll', async (t) => {
  const { redis, closing, produce } = await scene(t)
  const got = new EventEmitter()
  closing(
    consumeJobs({
      redisUrl: redis.url,
      run: async (dispatch) => void got.emit('run', dispatch)
    })
  )
  const producer = produce()
  await ready(producer)
  await redis.kill()
  await sleep(6500)
  const first = once(got, 'run')
  const back = ready(producer)
  await redis.start()
  await back
  await producer.dispatchJob('job_c', 4, place)
  const [dispatch] = await first
  assert.deepEqual(dispatch, { id: 'job_c', dispatch: 4 })
})

test('consumeJobs() closes while Redis dies, at whatever moment', async (t) => {
  for (const wait of [0, 0, 1, 1, 2, 5, 10, 50]) {
    const redis = await startRedis(t)
    // In a process that exits, as the roles do: BullMQ's retries go on for some seconds after.
    const child = fork(
      fileURLToPath(new URL('../../support/closing-consumer.ts', import.meta.url)),
      [redis.url]
    )
    t.after(() => child.kill('SIGKILL'))
    await once(child, 'message')
    const ended = once(child, 'exit')
    child.send('close')
    await sleep(wait)
    await redis.kill()
    assert.deepEqual(await ended, [0, null])
  }
})

test('createProducer() starts while Redis is away', async (t) => {
  const { redis, produce } = await scene(t)
  await redis.kill()
  const producer = produce()
  await assert.rejects(producer.dispatchJob('job_a', 1, place), /Redis is away/)
  const back = ready(producer)
  await redis.start()
  await back
  assert.equal(producer.status, 'ready')
  await producer.dispatchJob('job_a', 1, place)
})

test('dispatches start by priority and turn, also when Redis was emptied in between', async (t) => {
  const { redis, closing, produce } = await scene(t)
  const producer = produce()
  await ready(producer)
  const jobs: [string, Place][] = [
    ...Array.from({ length: 12 }, (_, turn): [string, Place] => [
      `job_a${turn}`,
      { priority: 'normal', turn, begun: false }
    ]),
    ['job_b', { priority: 'normal', turn: 2, begun: false }],
    ['job_low', { priority: 'low', turn: 0, begun: false }],
    ['job_high', { priority: 'high', turn: 9, begun: false }],
    ['job_again', { priority: 'normal', turn: 2, begun: true }]
  ]
  const dispatchAll = async (): Promise<void> => {
    for (const [id, place] of jobs) await producer.dispatchJob(id, 1, place)
  }
  await dispatchAll()
  await restart(redis, producer)
  await dispatchAll()

  const seen: string[] = []
  closing(
    consumeJobs({
      redisUrl: redis.url,
      run: async ({ id }) => void seen.push(id.replace('job_', ''))
    })
  )
  await until(() => seen.length === jobs.length)
  const after = Array.from({ length: 9 }, (_, i) => `a${i + 3}`)
  assert.deepEqual(seen, ['high', 'a0', 'a1', 'again', 'a2', 'b', ...after, 'low'])
})

test('a paused consumer takes nothing new, not even what its last read brings', async (t) => {
  const { redis, closing, produce } = await scene(t)
  const producer = produce()
  await ready(producer)
  const taken: Record<string, string[]> = { paused: [], other: [] }
  const end = new EventEmitter()
  const ended = once(end, 'end')
  const consumerOf = (name: string) =>
    closing(
      consumeJobs({
        redisUrl: redis.url,
        concurrency: 2,
        run: async ({ id }) => {
          taken[name]?.push(id)
          if (id === 'job_long') await ended
        }
      })
    )
  const paused = consumerOf('paused')
  await producer.dispatchJob('job_long', 1, place)
  await until(() => taken.paused?.length === 1)
  await paused.pause()
  await producer.dispatchJob('job_next', 1, place)
  const other = consumerOf('other')
  await until(() => taken.other?.length === 1)
  await paused.resume()
  await producer.dispatchJob('job_wake', 1, place)
  await until(() => (taken.paused?.length ?? 0) + (taken.other?.length ?? 0) === 3)
  end.emit('end')
  assert.deepEqual(taken.other?.[0], 'job_next')
  await other.pause()
  await producer.dispatchJob('job_last', 1, place)
  await until(() => taken.paused?.at(-1) === 'job_last')
})
