/** SIGKILL of every process at once, as when the power fails, in the middle of an import and of a job. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRunning, processesOf } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { shapesZip, startWhittle } from '../support/whittle.ts'

const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 60, batchSize: 8, learningRate: 0.02 },
  quantize: null
}

test('everything killed at once: the next start finishes the import and the job, and leaves no Redis behind', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'whittle-e2e-'))
  t.after(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10 }))
  const first = await startWhittle(t, dataDir)
  await first.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const spec = { dataset: 'shapes', model: 'shapes', seed: 11, recipe }
  const { body: job } = await first.post('/v1/jobs', spec)
  await first.watch(job.id, async () => {
    const { body } = await first.get(`/v1/jobs/${job.id}/metrics`)
    return body.items.length >= 3
  })
  const form = new FormData()
  form.set('file', new Blob([await shapesZip({ seed: 5, perClass: 300 })]), 'more.zip')
  form.set('name', 'more')
  const upload = await fetch(`${first.url}/v1/datasets`, { method: 'POST', body: form })
  assert.equal(upload.status, 202)

  const all = processesOf(first.process.pid ?? 0)
  const redis = all.find(({ command }) => command.includes('redis-server unixsocket'))
  assert.ok(redis)
  // Redis is left, as it is when only it survives: the next start has to deal with it.
  for (const { pid } of all) if (pid !== redis.pid) process.kill(pid, 'SIGKILL')

  const second = await startWhittle(t, dataDir)
  await until(() => !isRunning(redis.pid))
  const ended = await second.watch(job.id, ({ state }) => state === 'completed')
  assert.deepEqual([ended.result.version, ended.error], [1, null])
  await until(async () => (await second.get('/v1/datasets/more')).body.status !== 'importing')
  const { body: more } = await second.get('/v1/datasets/more')
  assert.deepEqual([more.status, more.images, more.error], ['ready', 900, null])
  assert.equal(await second.stop(), 0)
})
