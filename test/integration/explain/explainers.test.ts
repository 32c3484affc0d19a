import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import type { ExplainOrder } from '../../../src/contract/explanation.ts'
import { type ErrorCode, ServiceError } from '../../../src/errors.ts'
import { Explainers, type ExplainersOptions } from '../../../src/explain/explainers.ts'
import { brightClassifier } from '../../support/bright-classifier.ts'
import { processesOf } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

const nobodyLeaves = new AbortController().signal

async function scene(t: TestContext, options: ExplainersOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-explain-'))
  const explainers = new Explainers(options)
  t.after(async () => {
    await explainers.close()
    await rm(folder, { recursive: true, force: true })
  })
  const path = join(folder, 'model.onnx')
  await writeFile(path, brightClassifier())
  const levels = Uint8Array.from({ length: 64 }, (_, i) => (i < 32 ? 250 : 100))
  const image = await sharp(levels, { raw: { width: 8, height: 8, channels: 1 } })
    .png()
    .toBuffer()
  const input = { size: 8, channels: 1, resize: 'stretch' } as const
  const order: ExplainOrder = {
    method: 'occlusion',
    image,
    input,
    classes: 2,
    label: null,
    paths: [path]
  }
  return { explainers, order, path }
}

const code = (wanted: ErrorCode) => (error: unknown) =>
  error instanceof ServiceError && error.code === wanted

const running = (): number[] =>
  processesOf(process.pid)
    .filter(({ command }) => command.includes('explain/explainer.ts'))
    .map(({ pid }) => pid)

test('an image is explained behind everything else, and its process then ends', async (t) => {
  const { explainers, order } = await scene(t)
  const explaining = explainers.explain(order, nobodyLeaves)
  await until(() => running().some((pid) => niceness(pid) === 10))
  const { label, shape, matrix } = await explaining
  assert.deepEqual([label, shape, matrix.length], [1, [8, 8], 8])
  assert.deepEqual(running(), [])
})

test('explanations go one at a time, and what does not fit is refused', async (t) => {
  const { explainers, order } = await scene(t, { places: 1 })
  const both = [explainers.explain(order, nobodyLeaves), explainers.explain(order, nobodyLeaves)]
  await assert.rejects(explainers.explain(order, nobodyLeaves), (error) => {
    assert.ok(code('QUEUE_FULL')(error))
    return ((error as ServiceError).retryAfter ?? 0) > 0
  })
  let most = 0
  const timer = setInterval(() => {
    most = Math.max(most, running().length)
  }, 20)
  await Promise.all(both)
  clearInterval(timer)
  assert.equal(most, 1)
  await explainers.explain(order, nobodyLeaves)
})

test('nobody works for a client that has gone', async (t) => {
  const { explainers, order } = await scene(t)
  const leaving = new AbortController()
  const refused = assert.rejects(explainers.explain(order, leaving.signal), /has left/)
  const waiting = new AbortController()
  const second = assert.rejects(explainers.explain(order, waiting.signal), /has left/)
  await until(() => running().length === 1)
  waiting.abort(new Error('it has left'))
  await second
  assert.equal(running().length, 1)
  leaving.abort(new Error('it has left'))
  await refused
  assert.deepEqual(running(), [])
})

test('time and memory are bounded, and a process that dies says so', async (t) => {
  const { order, path, explainers } = await scene(t)
  const quick = new Explainers({ deadlineMs: 1 })
  await assert.rejects(quick.explain(order, nobodyLeaves), code('DEADLINE_EXCEEDED'))
  const small = new Explainers({ memoryMiB: 1 })
  await assert.rejects(small.explain(order, nobodyLeaves), (error) => {
    assert.ok(code('ENGINE_CRASHED')(error))
    return /may use at most 1 MiB and used/.test((error as ServiceError).detail)
  })
  // A defect: there is no such graph.
  const lost = { ...order, method: 'grad-cam', paths: [`${path}.no`, path] } as const
  await assert.rejects(explainers.explain(lost, nobodyLeaves), code('ENGINE_CRASHED'))
  await writeFile(path, 'no model')
  await assert.rejects(explainers.explain(order, nobodyLeaves), code('MODEL_INVALID'))
  assert.deepEqual(running(), [])
})

test('an end of the service ends what is being explained', async (t) => {
  const { explainers, order } = await scene(t)
  const asked = [explainers.explain(order, nobodyLeaves), explainers.explain(order, nobodyLeaves)]
  const refused = asked.map((one) => assert.rejects(one, code('SHUTTING_DOWN')))
  await until(() => running().length === 1)
  await explainers.close()
  await Promise.all(refused)
  assert.deepEqual(running(), [])
})

function niceness(pid: number): number {
  try {
    return getPriority(pid)
  } catch {
    return 0 // it has ended
  }
}
