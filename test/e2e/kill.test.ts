import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { permutation, Random, randomKey } from '../../src/tensor/random.ts'
import { newestCheckpoint } from '../support/stored-jobs.ts'
import { type Json, type Role, startWhittle, type Whittle } from '../support/whittle.ts'

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

const post = async (whittle: Whittle, model: string, trained: object = recipe): Promise<string> => {
  const spec = { dataset: 'shapes', model, seed: 11, recipe: trained }
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

/** Which process is killed next, and how many epochs after the kill before. */
interface Kill {
  readonly role: Role
  readonly epochs: number
}

const victims: readonly Role[] = [
  ...(['trainer', 'trainer', 'trainer', 'trainer', 'trainer'] as const),
  ...(['api', 'api', 'redis', 'redis', 'worker'] as const)
]
/** Ten kills cost a job some seconds each, in which its training may go on; it must outlast them. */
const longRecipe = {
  ...recipe,
  train: { ...recipe.train, epochs: 150, batchSize: 4 },
  prune: { ...recipe.prune, epochs: 50 }
}

function drawKills(seed: number): Kill[] {
  const random = new Random(randomKey(seed, 'epochs'))
  return [...permutation(randomKey(seed, 'victims'), victims.length)].map((i) => ({
    role: victims[i] ?? 'trainer',
    epochs: Math.floor(random.between(0, 8))
  }))
}

/** Kills as drawn. A trainer only once it has got on since the one before: three in a row may not. */
async function disturb(whittle: Whittle, job: string, kills: readonly Kill[]): Promise<void> {
  let [checkpoint, reached] = [0, 0]
  for (const { role, epochs } of kills) {
    const due = reached + epochs
    const document = await whittle.watch(job, async (found) => {
      if (hasEnded(found)) return true
      const hasProgressed = role !== 'trainer' || newestCheckpoint(whittle, job) > checkpoint
      // The api may be away again by now, killed a moment ago.
      const counted = metricsOf(whittle, job).then(({ length }) => length)
      reached = await counted.catch(() => reached)
      return reached >= due && hasProgressed && whittle.has(role)
    })
    // It may be queued: not begun yet, or put back by the kill before.
    assert.ok(!hasEnded(document), `it was ${document.state} before ${role} could be killed`)
    if (role === 'trainer') checkpoint = newestCheckpoint(whittle, job)
    whittle.kill(role)
  }
}

test('ten kills at random moments: one version, the same bytes, no epoch missing or double', async (t) => {
  const seed = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))
  const kills = drawKills(seed)
  t.diagnostic(`CHAOS_SEED=${seed}: ${kills.map(({ role, epochs }) => `${role} +${epochs}`)}`)
  const whittle = await startWhittle(t)
  await whittle.uploadShapes('shapes', { seed: 4, perClass: 80 })
  const undisturbed = await post(whittle, 'undisturbed', longRecipe)
  await whittle.watch(undisturbed, hasEnded)

  const job = await post(whittle, 'disturbed', longRecipe)
  await disturb(whittle, job, kills)
  const document = await whittle.watch(job, hasEnded)
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
  // Each of the trainers cost an attempt, but one that died with its worker.
  assert.ok(document.attempt >= 5, `attempt ${document.attempt}`)
  assert.deepEqual(await metricsOf(whittle, job), await metricsOf(whittle, undisturbed))
  assert.equal((await metricsOf(whittle, job)).length, 200)
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
