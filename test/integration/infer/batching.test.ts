/** Batches are made of whoever waits: no answer may depend on who that was. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Engines, type EnginesOptions } from '../../../src/infer/engines.ts'
import type { EngineModel, Question, Verdict } from '../../../src/infer/messages.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { brightClassifier } from '../../support/bright-classifier.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { flatImage } from '../../support/images.ts'

const signal = new AbortController().signal

async function serving(t: TestContext, options: Partial<EnginesOptions>) {
  const path = join(await temporaryFolder(t), 'bright.onnx')
  await writeFile(path, brightClassifier())
  const pool = new Engines({ perModel: 1, ...options })
  t.after(() => pool.close())
  const model: EngineModel = {
    key: 'bright',
    serves: { model: 'bright', version: 1, variant: 'int8' },
    path,
    input: { size: 8, channels: 1, resize: 'stretch' }
  }
  return { pool, model }
}

const pixels = (value: number): Question => ({
  form: 'pixels',
  bytes: new Uint8Array(64).fill(value),
  top: null
})

/** What the classifier says of an image that is `value` everywhere. */
const brightness = (value: number): number => 1 / (1 + Math.exp((-16 * (value - 128)) / 128))

function assertOwn(verdict: Verdict | undefined, value: number): void {
  assert.ok(verdict && 'all' in verdict, JSON.stringify(verdict))
  const [dark = 0, bright = 0] = verdict.all
  assert.ok(Math.abs(bright - brightness(value)) < 1e-5, `${value}: ${bright}`)
  assert.ok(Math.abs(dark + bright - 1) < 1e-5)
}

test('thousands of requests at once: every answer is its own, and a bad image spoils nothing', async (t) => {
  const { pool, model } = await serving(t, { perModel: 2, places: 20_000, maxBatch: 8 })
  const draws = new Random(randomKey(7, 'batching'))
  const bad: Question = { bytes: Buffer.from('no image'), top: null }
  const file = { bytes: await flatImage(200), top: null }
  const request = async (): Promise<number> => {
    const values = Array.from({ length: 1 + Math.floor(draws.uniform() * 5) }, () => {
      const draw = draws.uniform()
      if (draw < 0.05) return bad
      if (draw < 0.06) return file
      // Beyond this range the answers come too near to 0 and 1 to be told apart.
      return 78 + Math.floor(draws.uniform() * 100)
    })
    const questions = values.map((value) => (typeof value === 'number' ? pixels(value) : value))
    const priority = ([1, 2, 3] as const)[Math.floor(draws.uniform() * 3)] ?? 2
    const { verdicts } = await pool.ask(model, questions, { signal, priority })
    for (const [i, value] of values.entries()) {
      const verdict = verdicts[i]
      if (typeof value === 'number') assertOwn(verdict, value)
      else if (value === file) assertOwn(verdict, 200)
      else assert.ok(verdict && 'code' in verdict && verdict.code === 'IMAGE_FORMAT_UNSUPPORTED')
    }
    return values.length
  }
  const counts = await Promise.all(Array.from({ length: 3000 }, request))
  const [statistics] = pool.statistics
  assert.equal(
    statistics?.inferenceCount,
    counts.reduce((a, b) => a + b, 0)
  )
  assert.ok((statistics?.executionCount ?? 0) < (statistics?.inferenceCount ?? 0) / 4)
  assert.deepEqual(Math.max(...(statistics?.batches ?? []).map(({ size }) => size)), 8)
})

test('a batch that is full goes at once, however long images may wait for others', async (t) => {
  const { pool, model } = await serving(t, { maxBatch: 3, maxDelayMs: 600_000 })
  const answers = await Promise.all(
    [100, 120, 140].map((value) => pool.ask(model, [pixels(value)], { signal }))
  )
  assert.deepEqual(
    answers.map(({ batch }) => batch),
    [3, 3, 3]
  )
})

test('a batch goes as soon as it has a preferred size, and what is left waits for more', async (t) => {
  const options = { maxBatch: 8, maxDelayMs: 600_000, preferredSizes: [2, 5] }
  const { pool, model } = await serving(t, options)
  await pool.load(model)
  const ask = (value: number) => pool.ask(model, [pixels(value)], { signal })
  const first = Array.from({ length: 2 }, (_, i) => ask(100 + i))
  const third = ask(120)
  for (const { batch } of await Promise.all(first)) assert.equal(batch, 2)
  // It waits for another, for as long as ten minutes.
  assert.equal(pool.status.models[0]?.waiting, 1)
  for (const { batch } of await Promise.all([third, ask(140)])) assert.equal(batch, 2)
  const six = Array.from({ length: 6 }, (_, i) => pixels(100 + i))
  const together = pool.ask(model, six, { signal })
  const { batch } = (await Promise.all([together, ask(160)]))[0]
  assert.equal(batch, 5)
  const sizes = pool.statistics[0]?.batches.map(({ size }) => size)
  assert.deepEqual(sizes?.sort(), [2, 5])
})

test('without a delay batches are rounded down to a preferred size', async (t) => {
  const { pool, model } = await serving(t, { maxBatch: 8, preferredSizes: [3] })
  await pool.load(model)
  const { verdicts, batch } = await pool.ask(model, Array(7).fill(pixels(100)), { signal })
  for (const verdict of verdicts) assertOwn(verdict, 100)
  assert.equal(batch, 3)
  const sizes = pool.statistics[0]?.batches.map(({ size }) => size)
  assert.deepEqual(sizes?.sort(), [1, 3])
})

test('an image does not wait for others for longer than it may', async (t) => {
  const { pool, model } = await serving(t, { maxBatch: 8, maxDelayMs: 20 })
  const { batch, queueMs } = await pool.ask(model, [pixels(100)], { signal })
  assert.equal(batch, 1)
  assert.ok(queueMs >= 19, String(queueMs))
})

test('what is urgent is served before what came earlier', async (t) => {
  const { pool, model } = await serving(t, { maxBatch: 1 })
  const order: string[] = []
  const ask = async (name: string, priority: 1 | 2 | 3): Promise<void> => {
    await pool.ask(model, [pixels(100)], { signal, priority })
    order.push(name)
  }
  // All of them wait for the model to be loaded.
  await Promise.all([ask('late', 3), ask('usual', 2), ask('urgent', 1), ask('usual too', 2)])
  assert.deepEqual(order, ['urgent', 'usual', 'usual too', 'late'])
})
