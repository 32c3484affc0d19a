/**
 * Two jobs at once on one worker: each has a trainer of its own, and what happens to one is nothing to the other.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRunning } from '../support/processes.ts'
import { environmentOf, newestCheckpoint } from '../support/stored-jobs.ts'
import { until } from '../support/until.ts'
import { type Json, startWhittle, type Whittle } from '../support/whittle.ts'

/** The undisturbed one outlasts a job that is cancelled and one that is killed. */
const epochs = { calm: 800, killed: 300, endless: 5000 }

const post = async (whittle: Whittle, model: string, count: number): Promise<string> => {
  const recipe = {
    network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
    augment: [{ op: 'rotate', degrees: 10 }],
    train: { epochs: count, batchSize: 8, learningRate: 0.02 },
    quantize: { images: 64 }
  }
  const spec = { dataset: 'shapes', model, seed: 11, recipe }
  const { status, body } = await whittle.post('/v1/jobs', spec)
  assert.equal(status, 202, JSON.stringify(body))
  return body.id
}

const epochsOf = async (whittle: Whittle, job: string): Promise<number[]> => {
  const { body } = await whittle.get(`/v1/jobs/${job}/metrics`)
  return body.items.map((metric: Json) => metric.epoch)
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

const hasEnded = ({ state }: Json): boolean => state !== 'queued' && state !== 'running'

/** Waits until a job has trained `more` epochs from now on, and asserts that it still runs. */
async function trainsOn(whittle: Whittle, job: string, more: number): Promise<Json> {
  const before = (await epochsOf(whittle, job)).length
  const document = await whittle.watch(
    job,
    async (found) => hasEnded(found) || (await epochsOf(whittle, job)).length >= before + more
  )
  assert.equal(document.state, 'running', JSON.stringify(document.error))
  return document
}

/** Process ids of the trainers that a job has had, as its worker logged them. */
const trainersOf = ({ output }: Whittle, job: string): number[] =>
  output()
    .split('\n')
    .filter((line) => line.includes(job))
    .flatMap((line) => /"trainer":(\d+)/.exec(line)?.[1] ?? [])
    .map(Number)

/** The trainer that a job has now. */
function trainerOf(whittle: Whittle, job: string): number {
  const running = trainersOf(whittle, job).filter(isRunning)
  assert.equal(running.length, 1, `trainers of ${job}: ${running}`)
  return running[0] ?? 0
}

const workerOf = async (whittle: Whittle): Promise<Json> => {
  const { body } = await whittle.get('/v1/workers')
  assert.equal(body.items.length, 1)
  return body.items[0]
}

/** Waits until the one worker says that it holds both, then has each train on while the other is there. */
async function assertAtOnce(whittle: Whittle, jobs: readonly [string, string]): Promise<void> {
  await until(async () => {
    const { busy, jobs: held } = await workerOf(whittle)
    for (const job of jobs) {
      const { body } = await whittle.get(`/v1/jobs/${job}`)
      assert.equal(hasEnded(body), false, `${job} is ${body.state} before both were seen`)
    }
    return busy === 2 && jobs.every((job) => held.includes(job))
  })
  for (const job of jobs) await trainsOn(whittle, job, 1)
  const trainers = jobs.map((job) => trainerOf(whittle, job))
  // Both have been there since before either of these epochs, and are after both.
  for (const job of jobs) await trainsOn(whittle, job, 1)
  assert.deepEqual(
    jobs.map((job) => trainerOf(whittle, job)),
    trainers
  )
  assert.notEqual(trainers[0], trainers[1])
}

/** Asserts that a job trains on in the trainer that it had. */
async function assertUntouched(whittle: Whittle, job: string, trainer: number): Promise<void> {
  const { attempt } = await trainsOn(whittle, job, 2)
  assert.equal(attempt, 1)
  assert.deepEqual([trainersOf(whittle, job), isRunning(trainer)], [[trainer], true])
}

const completed = async (whittle: Whittle, job: string, count: number): Promise<Json> => {
  const document = await whittle.watch(job, hasEnded)
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
  assert.deepEqual(await epochsOf(whittle, job), upTo(count))
  return document
}

const digests = async (whittle: Whittle, model: string): Promise<Json> => {
  const { body } = await whittle.get(`/v1/models/${model}/versions/1`)
  const files = body.artifacts.filter(({ file }: Json) => !file.startsWith('report'))
  return Object.fromEntries(files.map(({ file, sha256 }: Json) => [file, sha256]))
}

test('two jobs of one worker run at once; one is cancelled, one killed, and the other is as if alone', async (t) => {
  const whittle = await startWhittle(t, undefined, { WHITTLE_WORKER_CONCURRENCY: '2' })
  await whittle.uploadShapes('shapes', { seed: 4, perClass: 80 })
  assert.equal((await workerOf(whittle)).slots, 2)
  // Both build the pack of the same dataset, which is not there yet.
  const calm = await post(whittle, 'calm', epochs.calm)
  const cancelled = await post(whittle, 'cancelled', epochs.endless)
  await assertAtOnce(whittle, [calm, cancelled])
  const trainer = trainerOf(whittle, calm)

  const unwanted = trainerOf(whittle, cancelled)
  assert.equal((await whittle.post(`/v1/jobs/${cancelled}/cancel`, {})).status, 202)
  assert.equal((await whittle.watch(cancelled, hasEnded)).state, 'cancelled')
  await until(() => !isRunning(unwanted))
  await assertUntouched(whittle, calm, trainer)

  // Its slot is free again.
  const killed = await post(whittle, 'killed', epochs.killed)
  await assertAtOnce(whittle, [calm, killed])
  await until(() => newestCheckpoint(whittle, killed) > 0)
  process.kill(trainerOf(whittle, killed), 'SIGKILL')
  const again = await whittle.watch(killed, (found) => hasEnded(found) || found.attempt === 2)
  assert.equal(again.state, 'running', JSON.stringify(again.error))
  await assertAtOnce(whittle, [calm, killed])
  await assertUntouched(whittle, calm, trainer)
  const reached = (await epochsOf(whittle, calm)).length
  t.diagnostic(
    `the undisturbed job was at epoch ${reached} of ${epochs.calm} when all had happened`
  )

  await completed(whittle, calm, epochs.calm)
  assert.equal((await completed(whittle, killed, epochs.killed)).attempt, 2)
  assert.match((await whittle.get(`/v1/jobs/${killed}/logs`)).body, /going on from a checkpoint/)
  assert.deepEqual(trainersOf(whittle, calm), [trainer])

  const alone = await post(whittle, 'alone', epochs.calm)
  await completed(whittle, alone, epochs.calm)
  assert.deepEqual(environmentOf(whittle, calm), environmentOf(whittle, alone))
  assert.deepEqual(await digests(whittle, 'calm'), await digests(whittle, 'alone'))
})
