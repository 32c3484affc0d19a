import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Fleet, type Member, startFleet, type Who } from '../support/fleet.ts'
import { shapeImages } from '../support/shapes-dataset.ts'
import { until } from '../support/until.ts'
import type { Json } from '../support/whittle.ts'

const recipe = (epochs: number) => ({
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs, batchSize: 8, learningRate: 0.02 },
  quantize: null
})

interface Posted {
  readonly id: string
  readonly model: string
  readonly epochs: number
}

async function post(
  fleet: Fleet,
  { who, model, epochs }: { readonly who: Who; readonly model: string; readonly epochs: number }
): Promise<Posted> {
  const spec = { dataset: 'shapes', model, seed: 11, recipe: recipe(epochs) }
  const { status, body } = await fleet.ask(who, 'POST', '/v1/jobs', spec)
  assert.equal(status, 202, JSON.stringify(body))
  return { id: body.id, model, epochs }
}

const workersOf = async (fleet: Fleet): Promise<Json[]> =>
  (await fleet.ask('admin', 'GET', '/v1/workers')).body.items

const isOf = (member: Member) => (worker: Json) => worker.id.endsWith(`-${member.pid}`)

async function order(fleet: Fleet, member: Member, verb: 'drain' | 'resume'): Promise<void> {
  const worker = (await workersOf(fleet)).find(isOf(member))
  const { status } = await fleet.ask('admin', 'POST', `/v1/workers/${worker.id}/${verb}`)
  assert.equal(status, 202)
}

const present = (fleet: Fleet, member: Member): Promise<Json> =>
  fleet.watch('/v1/workers', ({ items }) => items.some(isOf(member)))

const metricsOf = async (fleet: Fleet, { id }: Posted): Promise<string[]> => {
  const { body } = await fleet.ask('admin', 'GET', `/v1/jobs/${id}/metrics`)
  return body.items.map((metric: Json) => `${metric.stage} ${metric.epoch}`)
}

/** Waits for the end of a job, and asserts that it has one result: every epoch once, one version. */
async function completed(fleet: Fleet, job: Posted): Promise<Json> {
  const hasEnded = ({ state }: Json): boolean => state !== 'queued' && state !== 'running'
  const document = await fleet.watch(`/v1/jobs/${job.id}`, hasEnded)
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
  const epochs = Array.from({ length: job.epochs }, (_, i) => `train ${i + 1}`)
  assert.deepEqual(await metricsOf(fleet, job), epochs)
  const { body: model } = await fleet.ask('admin', 'GET', `/v1/models/${job.model}`)
  assert.deepEqual(
    model.versions.map((version: Json) => version.job),
    [job.id]
  )
  return document
}

/** Waits until a job trains, and finds the worker that has it. */
async function inTraining(fleet: Fleet, job: Posted, members: readonly Member[]): Promise<Member> {
  await until(async () => (await metricsOf(fleet, job)).length > 0)
  const worker = (await workersOf(fleet)).find(({ jobs }) => jobs.includes(job.id))
  const member = members.find((member) => isOf(member)(worker))
  assert.ok(member !== undefined, 'the job ended before it was looked for')
  return member
}

interface Setting {
  readonly fleet: Fleet
  readonly members: readonly Member[]
}

async function takeTurns({ fleet, members }: Setting): Promise<void> {
  for (const member of members) await order(fleet, member, 'drain')
  await fleet.watch('/v1/workers', ({ items }) => items.every(({ drained }: Json) => drained))
  const posted: Posted[] = []
  for (const who of ['alice', 'alice', 'alice', 'bob', 'bob'] as const) {
    posted.push(await post(fleet, { who, model: `${who}-${posted.length}`, epochs: 2 }))
  }
  const { body: queued } = await fleet.ask('admin', 'GET', '/v1/jobs?state=queued')
  assert.equal(queued.items.length, posted.length)

  for (const member of members) await order(fleet, member, 'resume')
  await fleet.watch('/v1/workers', async ({ items }) => {
    for (const { slots, busy, jobs } of items) {
      assert.ok(busy <= slots && jobs.length <= slots, JSON.stringify(items))
    }
    const { body } = await fleet.ask('admin', 'GET', '/v1/jobs?state=completed')
    return body.items.length === posted.length
  })
  const ended = await Promise.all(posted.map((job) => completed(fleet, job)))
  assert.deepEqual(
    ended.map(({ attempt }) => attempt),
    posted.map(() => 1)
  )
  const [, , last, , other] = ended.map(({ startedAt }) => startedAt)
  assert.ok(other < last, `bob's second job started at ${other}, alice's third at ${last}`)
}

/** Epochs that take longer than it takes to find out that they have begun. */
const long = 300

async function restartAll({ fleet, members }: Setting): Promise<void> {
  const jobs: Posted[] = []
  for (const [who, epochs] of [
    ['alice', long],
    ['bob', 40],
    ['alice', 40]
  ] as const) {
    jobs.push(await post(fleet, { who, model: `rolling-${jobs.length}`, epochs }))
  }
  const [first] = jobs
  assert.ok(first !== undefined)
  const holder = await inTraining(fleet, first, members)
  for (const member of [holder, ...members.filter((other) => other !== holder)]) {
    await member.stop()
    await member.start()
    await present(fleet, member)
  }
  await fleet.api.stop()
  await fleet.api.start()
  await fleet.api.kill()
  await fleet.api.start()
  const ended = await Promise.all(jobs.map((job) => completed(fleet, job)))
  assert.ok(ended[0].attempt > 1, `attempt ${ended[0].attempt}`)
}

const betweenAsksMs = 200

/** Asks a model for as long as `work` takes, and asserts that it always answers the same. */
async function whileAsking(fleet: Fleet, work: () => Promise<void>): Promise<void> {
  const [image] = await shapeImages(9, 1)
  const png = new Blob([new Uint8Array(image?.png ?? [])], { type: 'image/png' })
  const ask = async (): Promise<Json> => {
    const { status, body } = await fleet.ask('alice', 'POST', '/v1/models/alice-0/predictions', png)
    return { status, version: body.version, predictions: body.predictions }
  }
  const expected = await ask()
  assert.equal(expected.status, 200)
  const answers: Json[] = []
  let working = true
  const asking = (async () => {
    for (; working; await sleep(betweenAsksMs)) answers.push(await ask())
  })()
  try {
    await work()
  } finally {
    working = false
    await asking
  }
  assert.ok(answers.length > 0)
  for (const answer of answers) assert.deepEqual(answer, expected)
}

async function freezeOne({ fleet, members }: Setting): Promise<void> {
  const job = await post(fleet, { who: 'bob', model: 'frozen', epochs: long })
  const frozen = await inTraining(fleet, job, members)
  frozen.signal('SIGSTOP')
  await fleet.watch('/v1/workers', ({ items }) => !items.some(isOf(frozen)))
  const { attempt } = await completed(fleet, job)
  assert.ok(attempt > 1, `attempt ${attempt}`)
  frozen.signal('SIGCONT')
  await until(() => frozen.output().includes('attempt abandoned'))
  await present(fleet, frozen)
  await completed(fleet, job)
}

test('several workers of one api', { timeout: 900_000 }, async (t) => {
  const fleet = await startFleet(t)
  await fleet.uploadShapes('shapes', { seed: 4, perClass: 30 })
  const members = await Promise.all([
    fleet.addWorker('one', 1),
    fleet.addWorker('two', 1),
    fleet.addWorker('three', 2)
  ])
  for (const member of members) await present(fleet, member)
  const setting = { fleet, members }

  await t.test('drained they take nothing; resumed they run each job once, callers in turns', () =>
    takeTurns(setting)
  )
  await t.test('workers and api restarted under load: nothing lost, doubled or wrong', () =>
    whileAsking(fleet, () => restartAll(setting))
  )
  await t.test('a frozen one is noticed, its job goes on elsewhere, its late word is refused', () =>
    freezeOne(setting)
  )
})
