import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Json, startWhittle, type Whittle } from '../support/whittle.ts'

/** Long enough to be killed in, small enough to end. */
const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 150, batchSize: 8, learningRate: 0.02 },
  prune: { macs: 0.5, roundTo: 8, epochs: 40 },
  quantize: { images: 64 }
}
const epochs = [
  ...Array.from({ length: 150 }, (_, i) => `train ${i + 1}`),
  ...Array.from({ length: 40 }, (_, i) => `prune ${i + 1}`)
]

const post = async (whittle: Whittle, model: string): Promise<string> => {
  const spec = { dataset: 'shapes', model, seed: 11, recipe }
  const { status, body } = await whittle.post('/v1/jobs', spec)
  assert.equal(status, 202, JSON.stringify(body))
  return body.id
}

const metricsOf = async (whittle: Whittle, job: string): Promise<string[]> => {
  const { body } = await whittle.get(`/v1/jobs/${job}/metrics`)
  return body.items.map((m: Json) => `${m.stage} ${m.epoch}`)
}

const reach = (whittle: Whittle, job: string, count: number): Promise<Json> =>
  whittle.watch(job, async () => (await metricsOf(whittle, job)).length >= count)

const hasEnded = ({ state }: Json): boolean => ['completed', 'failed', 'cancelled'].includes(state)

const digests = async (whittle: Whittle, model: string): Promise<Json> => {
  const { body } = await whittle.get(`/v1/models/${model}`)
  assert.equal(body.versions.length, 1)
  const { body: version } = await whittle.get(`/v1/models/${model}/versions/1`)
  const files = version.artifacts.filter(({ file }: Json) => !file.startsWith('report'))
  return Object.fromEntries(files.map(({ file, sha256 }: Json) => [file, sha256]))
}

test('killed trainer, worker and api: one version, the same bytes, no epoch missing or double', async (t) => {
  const whittle = await startWhittle(t)
  await whittle.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const undisturbed = await post(whittle, 'undisturbed')
  await whittle.watch(undisturbed, hasEnded)

  const job = await post(whittle, 'disturbed')
  await reach(whittle, job, 5)
  whittle.kill('trainer')
  await reach(whittle, job, 20)
  whittle.kill('api')
  await reach(whittle, job, 60)
  whittle.kill('worker')
  await reach(whittle, job, 155)
  whittle.kill('trainer')
  const document = await whittle.watch(job, hasEnded)
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
  assert.ok(document.attempt >= 4, `attempt ${document.attempt}`)
  assert.deepEqual(await metricsOf(whittle, job), epochs)
  assert.deepEqual(await digests(whittle, 'disturbed'), await digests(whittle, 'undisturbed'))
})

test('ended and started again: the job goes on from its checkpoint, and nothing is left running', async (t) => {
  const first = await startWhittle(t)
  await first.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const job = await post(first, 'shapes')
  await reach(first, job, 5)
  assert.equal(await first.stop(), 0)

  const second = await startWhittle(t, first.dataDir)
  const before = await metricsOf(second, job)
  assert.ok(before.length >= 5)
  const document = await second.watch(job, hasEnded)
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
  assert.deepEqual(await metricsOf(second, job), epochs)
  assert.match((await second.get(`/v1/jobs/${job}/logs`)).body, /going on from a checkpoint/)
  assert.equal(await second.stop(), 0)
})

test('a trainer that keeps dying without progress fails the job, saying how it died', async (t) => {
  const whittle = await startWhittle(t)
  await whittle.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const job = await post(whittle, 'shapes')
  let deaths = 0
  const document = await whittle.watch(job, (found) => {
    if (found.state === 'running' && found.attempt > deaths) {
      try {
        whittle.kill('trainer')
        deaths = found.attempt
      } catch {
        // Not started yet; the next look finds it.
      }
    }
    return hasEnded(found)
  })
  assert.equal(document.state, 'failed')
  assert.equal(document.error.code, 'JOB_CRASHED')
  assert.match(document.error.detail, /SIGKILL/)
  assert.equal(document.attempt, 3)
})

test('a killed Redis: the running job goes on, a job posted meanwhile is accepted and runs', async (t) => {
  const whittle = await startWhittle(t)
  await whittle.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const running = await post(whittle, 'first')
  await reach(whittle, running, 3)
  whittle.kill('redis')
  const posted = await post(whittle, 'second')
  for (const job of [running, posted]) {
    const document = await whittle.watch(job, hasEnded)
    assert.equal(document.state, 'completed', JSON.stringify(document.error))
    assert.deepEqual(await metricsOf(whittle, job), epochs)
  }
})
