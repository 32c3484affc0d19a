/** A lane before engines that are stand-ins: what they are asked, and when. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as immediate } from 'node:timers/promises'
import { type Engine, type EngineEnd, EngineEnded } from '../../../src/infer/engine.ts'
import { Lane, type LaneOptions } from '../../../src/infer/lane.ts'
import type { EngineModel, Question } from '../../../src/infer/messages.ts'
import { Statistics } from '../../../src/infer/statistics.ts'
import { until } from '../../support/until.ts'

const model: EngineModel = {
  key: 'm',
  serves: { model: 'm', version: 1, variant: 'int8' },
  path: 'm.onnx',
  input: { size: 8, channels: 1, resize: 'stretch' }
}
const question: Question = { bytes: new Uint8Array(), top: 1 }
const { signal } = new AbortController()

/** Loads when it is told to, and answers at once. */
function standIn() {
  const loading = Promise.withResolvers<void>()
  const warmedUpTo: number[] = []
  const asked: number[] = []
  const engine = {
    isUsable: true,
    ended: new Promise<never>(() => {}),
    kill() {},
    load(_: EngineModel, maxBatch: number) {
      warmedUpTo.push(maxBatch)
      return loading.promise
    },
    async classify(questions: readonly Question[]) {
      asked.push(questions.length)
      return {
        verdicts: questions.map(() => ({ classes: [0], scores: [1] })),
        seen: questions.map(() => null),
        times: { inputMs: 0, inferMs: 1000, outputMs: 0 }
      }
    }
  }
  return { engine: engine as Partial<Engine> as Engine, loaded: loading.resolve, warmedUpTo, asked }
}

function lane(
  engine: Engine | (() => Engine | null),
  preferredSizes: readonly number[],
  maxDelayMs: number,
  others: Partial<Pick<LaneOptions, 'mustYield' | 'onFree'>> = {}
): Lane {
  return new Lane(model, {
    places: 100,
    maxBatch: 8,
    maxDelayMs,
    preferredSizes,
    maxEngines: 1,
    deadlineMs: 60_000,
    statistics: new Statistics(),
    acquire: typeof engine === 'function' ? engine : () => engine,
    mustYield: () => false,
    onFree() {},
    onEnd() {},
    onSeen() {},
    onPoison() {},
    ...others
  })
}

test('every size up to the largest batch is warmed up before the first batch of a preferred one', async () => {
  const { engine, loaded, warmedUpTo, asked } = standIn()
  const answer = lane(engine, [3], 0).ask(Array(7).fill(question), { signal })
  await until(() => warmedUpTo.length > 0)
  assert.deepEqual([warmedUpTo, asked], [[8], []])
  loaded()
  await answer
  assert.deepEqual(asked, [3, 3, 1])
})

test('what has waited while the engine was loaded goes at the largest preferred size it fills', async () => {
  const { engine, loaded, asked } = standIn()
  const busy = lane(engine, [2, 5], 600_000)
  const answer = busy.ask(Array(7).fill(question), { signal })
  loaded()
  await answer
  assert.deepEqual(asked, [5, 2])
  const odd = busy.ask([question], { signal })
  assert.equal(busy.waiting, 1)
  busy.close()
  await assert.rejects(odd, { code: 'SHUTTING_DOWN' })
  assert.deepEqual(asked, [5, 2])
})

/** Holds its answers back until it is told, or dies with all that it was sent. */
function slow(imageMs: number) {
  const pending: { readonly questions: number; readonly settle: PromiseWithResolvers<void> }[] = []
  const ended = Promise.withResolvers<EngineEnd>()
  let isUsable = true
  let isKilled = false
  const engine = {
    get isUsable() {
      return isUsable
    },
    ended: ended.promise,
    kill() {
      isUsable = false
      isKilled = true
    },
    async load() {},
    async classify(questions: readonly Question[]) {
      const settle = Promise.withResolvers<void>()
      pending.push({ questions: questions.length, settle })
      await settle.promise
      return {
        verdicts: questions.map(() => ({ classes: [0], scores: [1] })),
        seen: questions.map(() => null),
        times: { inputMs: 0, inferMs: imageMs * questions.length, outputMs: 0 }
      }
    }
  }
  return {
    engine: engine as Partial<Engine> as Engine,
    pending,
    isKilled: () => isKilled,
    answer: () => pending.shift()?.settle.resolve(),
    die() {
      isUsable = false
      for (const { settle } of pending.splice(0)) settle.reject(new EngineEnded('killed'))
      ended.resolve({ how: 'SIGKILL', asked: false })
    }
  }
}

test('a busy engine is sent one batch ahead where images are fast, and none where they are slow', async () => {
  for (const [imageMs, ahead] of [
    [1, 1],
    [11, 0]
  ] as const) {
    const one = slow(imageMs)
    const busy = lane(one.engine, [1], 0)
    const first = busy.ask([question], { signal })
    await until(() => one.pending.length === 1)
    one.answer()
    await first
    const rest = busy.ask(Array(4).fill(question), { signal })
    await until(() => one.pending.length > 0)
    assert.equal(one.pending.length, 1 + ahead)
    for (let answered = 0; answered < 4; answered++) {
      await until(() => one.pending.length > 0)
      one.answer()
    }
    await rest
  }
})

test('an engine that dies takes two batches along as one failure, and only what it ran is asked again alone', async () => {
  const crew = [slow(1), slow(1)]
  const [dying, next] = crew
  assert.ok(dying && next)
  const engines = crew.map(({ engine }) => engine)
  const busy = lane(() => engines.shift() ?? null, [2], 0)
  const first = busy.ask([question], { signal })
  await until(() => dying.pending.length === 1)
  dying.answer()
  await first
  const rest = busy.ask(Array(4).fill(question), { signal })
  await until(() => dying.pending.length === 2)
  dying.die()
  // Two failures would have the next engine wait for a while.
  await immediate()
  assert.equal(engines.length, 0)
  const again: number[] = []
  for (let left = 4; left > 0; ) {
    await until(() => next.pending.length > 0)
    // Nothing is sent ahead beside a retry.
    assert.equal(next.pending.length, 1)
    const { questions = 0 } = next.pending[0] ?? {}
    again.push(questions)
    left -= questions
    next.answer()
  }
  assert.deepEqual(again, [2, 1, 1])
  assert.equal((await rest).verdicts.length, 4)
})

test('a model whose line never ends gives its engine to one that has none, after a while', async (t) => {
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const one = slow(20)
  const engines = [one.engine]
  let isWanted = false
  const given: string[] = []
  const busy = lane(() => engines.shift() ?? null, [1], 0, {
    mustYield: () => isWanted,
    onFree: () => given.push(one.isKilled() ? 'killed' : 'kept')
  })
  const asked = busy.ask(Array(3).fill(question), { signal }).catch(() => {})
  await until(() => one.pending.length === 1)
  isWanted = true
  given.length = 0
  one.answer()
  await until(() => one.pending.length === 1)
  assert.deepEqual(given, ['kept'])
  now += 1000
  one.answer()
  await until(() => one.isKilled())
  // The other model is told before this one asks for an engine again.
  assert.equal(given[1], 'killed')
  busy.close()
  await asked
})
