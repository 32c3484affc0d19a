import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { consumeImports, consumeJobs } from '../../../src/queue/consumer.ts'
import type { Dispatch } from '../../../src/queue/names.ts'
import { createProducer } from '../../../src/queue/producer.ts'
import { startRedis } from '../../support/redis.ts'

const ready = (producer: ReturnType<typeof createProducer>): Promise<void> =>
  new Promise((resolve) => producer.onReady(resolve))

test('dispatchJob() reaches the consumer of jobs, once for the same dispatch', async (t) => {
  const redis = await startRedis(t)
  const producer = createProducer({ redisUrl: redis.url })
  await ready(producer)
  await producer.dispatchJob('job_a', 1)
  await producer.dispatchJob('job_a', 1)
  await producer.dispatchJob('job_a', 2)
  await producer.dispatchImport('ds_b', 1)
  const seen: Dispatch[] = []
  const done = new EventEmitter()
  const run = async (dispatch: Dispatch): Promise<void> => {
    seen.push(dispatch)
    if (seen.length === 3) done.emit('three')
  }
  const finished = once(done, 'three')
  const jobs = consumeJobs({ redisUrl: redis.url, run })
  const imports = consumeImports({ redisUrl: redis.url, run })
  await finished
  await Promise.all([jobs.close(), imports.close(), producer.close()])
  assert.deepEqual(seen.map(({ id, dispatch }) => `${id}-${dispatch}`).toSorted(), [
    'ds_b-1',
    'job_a-1',
    'job_a-2'
  ])
})

test('dispatchJob() rejects at once while Redis is away, and works when it is back', async (t) => {
  const redis = await startRedis(t)
  const producer = createProducer({ redisUrl: redis.url })
  await ready(producer)
  await redis.kill()
  await assert.rejects(producer.dispatchJob('job_a', 1))
  assert.equal(producer.status, 'away')
  const back = ready(producer)
  await redis.start()
  await back
  await producer.dispatchJob('job_a', 1)
  const got = new EventEmitter()
  const first = once(got, 'run')
  const consumer = consumeJobs({
    redisUrl: redis.url,
    run: async (dispatch) => void got.emit('run', dispatch)
  })
  const [dispatch] = await first
  assert.deepEqual(dispatch, { id: 'job_a', dispatch: 1 })
  await Promise.all([consumer.close(), producer.close()])
})

test('consumeJobs() goes on after an outage that outlasts its poll', async (t) => {
  const redis = await startRedis(t)
  const got = new EventEmitter()
  const consumer = consumeJobs({
    redisUrl: redis.url,
    run: async (dispatch) => void got.emit('run', dispatch)
  })
  const producer = createProducer({ redisUrl: redis.url })
  await ready(producer)
  await redis.kill()
  await sleep(6500)
  const first = once(got, 'run')
  const back = ready(producer)
  await redis.start()
  await back
  await producer.dispatchJob('job_c', 4)
  const [dispatch] = await first
  assert.deepEqual(dispatch, { id: 'job_c', dispatch: 4 })
  await Promise.all([consumer.close(), producer.close()])
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
  const redis = await startRedis(t)
  await redis.kill()
  const producer = createProducer({ redisUrl: redis.url })
  await assert.rejects(producer.dispatchJob('job_a', 1), /Redis is away/)
  const back = ready(producer)
  await redis.start()
  await back
  assert.equal(producer.status, 'ready')
  await producer.dispatchJob('job_a', 1)
  await producer.close()
})
