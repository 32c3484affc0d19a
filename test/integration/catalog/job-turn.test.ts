import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { claimJob } from '../../../src/catalog/job-attempts.ts'
import { findQueued } from '../../../src/catalog/job-dispatch.ts'
import { settleAttempt } from '../../../src/catalog/job-outcome.ts'
import { cancelJob, deleteJob, getJob, type JobRow } from '../../../src/catalog/jobs.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import type { JobPriority } from '../../../src/contract/job.ts'
import { queueNumber } from '../../../src/queue/place.ts'
import { queuedJob, temporaryCatalog } from '../../support/catalog.ts'

const worker = 'host-1'

interface Started {
  readonly owner: string
  readonly id: string
}

/** Workers with so many slots, on a catalogue without files: starts what the queue would hand out next. */
class Fleet {
  readonly db: Catalog
  readonly slots: number
  readonly running: Started[] = []
  /** In the order in which they were started. */
  readonly started: Started[] = []

  constructor(db: Catalog, slots: number) {
    this.db = db
    this.slots = slots
  }

  post(owner: string, priority: JobPriority = 'normal'): Promise<JobRow> {
    return queuedJob(this.db, { priority, owner })
  }

  /** Starts jobs until every slot is taken or nothing waits. */
  async fill(): Promise<readonly Start[]> {
    const starts: Start[] = []
    while (this.running.length < this.slots) {
      const waiting = (await findQueued(this.db))
        .map((job) => ({ ...job, number: queueNumber({ ...job, begun: job.attempt > 0 }) }))
        .toSorted((a, b) => a.number - b.number)
      const [next] = waiting
      if (next === undefined) break
      const { owner, id } = await claimJob(this.db, next.id, { dispatch: next.dispatch, worker })
      const started = { owner: owner ?? '', id }
      this.running.push(started)
      this.started.push(started)
      const owners = await Promise.all(
        waiting.map(async ({ id }) => (await getJob(this.db, id)).owner)
      )
      starts.push({ owner: started.owner, waiting: new Set(owners.map((owner) => owner ?? '')) })
    }
    return starts
  }

  async end(index: number): Promise<void> {
    const [gone] = this.running.splice(index % this.running.length, 1)
    assert.ok(gone !== undefined)
    const { attempt } = await getJob(this.db, gone.id)
    const failed = { kind: 'failed', code: 'TRAINING_DIVERGED', detail: 'as ordered' } as const
    await settleAttempt(this.db, { id: gone.id, attempt }, failed)
  }
}

interface Start {
  readonly owner: string
  /** Callers that had a job waiting, the one that was started among them. */
  readonly waiting: ReadonlySet<string>
}

/** Checks that between two starts of a caller with waiting jobs, no other one starts more than twice. */
class Passed {
  readonly #counts = new Map<string, Map<string, number>>()

  note(starts: readonly Start[]): void {
    for (const { owner, waiting } of starts) {
      this.#counts.delete(owner)
      for (const other of waiting) if (other !== owner) this.#pass(other, owner)
    }
  }

  #pass(caller: string, by: string): void {
    const counts = this.#counts.get(caller) ?? new Map<string, number>()
    const count = (counts.get(by) ?? 0) + 1
    this.#counts.set(caller, counts.set(by, count))
    assert.ok(count <= 2, `${by} was started ${count} times while ${caller} waited`)
  }
}

test("nextTurn() lets a caller's single job go before another's hundred", async (t) => {
  const db = await temporaryCatalog(t)
  const fleet = new Fleet(db, 2)
  for (let i = 0; i < 100; i++) await fleet.post('a')
  await fleet.fill()
  const { id } = await fleet.post('b')
  await fleet.end(0)
  await fleet.fill()
  assert.deepEqual(fleet.started.at(-1), { owner: 'b', id })
})

test('nextTurn() has callers take turns, whoever posts first, waits, ends or deletes', async () => {
  const callers = ['a', 'b', 'c'] as const
  const posts = fc.record({
    caller: fc.constantFrom(...callers),
    count: fc.integer({ min: 1, max: 9 })
  })
  const ends = fc.array(fc.nat({ max: 5 }), { maxLength: 12 })
  const runs = fc.record({
    slots: fc.integer({ min: 1, max: 3 }),
    phases: fc.array(fc.record({ posts, ends }), { minLength: 2, maxLength: 8 })
  })
  await fc.assert(
    fc.asyncProperty(runs, async ({ slots, phases }) => {
      const db = await openCatalog(':memory:')
      try {
        const fleet = new Fleet(db, slots)
        const passed = new Passed()
        for (const { posts, ends } of phases) {
          for (let i = 0; i < posts.count; i++) await fleet.post(posts.caller)
          passed.note(await fleet.fill())
          for (const index of ends) {
            if (fleet.running.length === 0) break
            await fleet.end(index)
            passed.note(await fleet.fill())
          }
        }
        for (const caller of callers) {
          const ids = fleet.started.filter(({ owner }) => owner === caller).map(({ id }) => id)
          assert.deepEqual(ids, ids.toSorted(), 'jobs of one caller overtook each other')
        }
      } finally {
        await db.destroy()
      }
    }),
    { numRuns: 30 }
  )
})

test('three callers that always post again do not starve a fourth that waits', async (t) => {
  const db = await temporaryCatalog(t)
  const fleet = new Fleet(db, 1)
  for (const owner of ['a', 'a', 'a', 'b', 'c', 'd']) await fleet.post(owner)
  await fleet.fill()
  for (let i = 0; i < 12; i++) {
    const { owner = '', id = '' } = fleet.running[0] ?? {}
    await fleet.end(0)
    // What is deleted has still had its turn.
    await deleteJob(db, id)
    await fleet.fill()
    if (owner !== 'a') await fleet.post(owner)
  }
  const order = fleet.started.map(({ owner }) => owner).join('')
  assert.equal(order.slice(0, 10), 'abcdabcdab', order)
})

test('a priority has turns of its own, which begin anew once it is idle', async (t) => {
  const db = await temporaryCatalog(t)
  const fleet = new Fleet(db, 9)
  const turns = async (...priorities: JobPriority[]) => {
    const jobs: JobRow[] = []
    for (const priority of priorities) jobs.push(await fleet.post('a', priority))
    return jobs.map(({ turn }) => turn)
  }
  assert.deepEqual(await turns('low', 'low', 'normal', 'high', 'low'), [0, 1, 0, 0, 2])
  await fleet.fill()
  assert.deepEqual(await turns('low', 'high'), [3, 1])
  for (const { id } of await findQueued(db)) await cancelJob(db, id)
  // A job that was never started costs no turn.
  assert.deepEqual(await turns('low'), [3])
  await fleet.fill()
  while (fleet.running.length > 0) await fleet.end(0)
  assert.deepEqual(await turns('low', 'low'), [0, 1])
})

test('a job that was put back keeps its turn and goes first', async (t) => {
  const db = await temporaryCatalog(t)
  const fleet = new Fleet(db, 1)
  const { id } = await fleet.post('a')
  await fleet.fill()
  for (const owner of ['b', 'c', 'a', 'b']) await fleet.post(owner)
  const { attempt } = await getJob(db, id)
  await settleAttempt(db, { id, attempt }, { kind: 'released' })
  fleet.running.pop()
  await fleet.fill()
  assert.deepEqual(
    fleet.started.map((job) => job.id),
    [id, id]
  )
})
