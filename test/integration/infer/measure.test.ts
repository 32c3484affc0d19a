import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Value from 'typebox/value'
import { Latency } from '../../../src/contract/report.ts'
import { measureLatency } from '../../../src/infer/measure.ts'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { machine } from '../../../src/runtime/machine.ts'
import { brightClassifier } from '../../support/bright-classifier.ts'

/** Takes minutes for what the test below asks, on any machine. */
async function slowModel(t: TestContext): Promise<string> {
  const network = buildNetwork(
    {
      architecture: 'simple-cnn',
      depth: 8,
      width: 1,
      inputSize: 64,
      channels: 3,
      resize: 'stretch'
    },
    { classes: 2, scale: 1 / 128, zeroPoint: 128 }
  )
  const path = join(await model(t), '..', 'slow.onnx')
  await writeFile(path, exportOnnx({ network, weights: initialWeights(network, 1) }))
  return path
}

async function model(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-measure-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'model.onnx'), brightClassifier())
  return join(folder, 'model.onnx')
}

test('measureLatency() reports every variant with the machine it ran on', async (t) => {
  const path = await model(t)
  const variants = [
    { variant: 'baseline', path },
    { variant: 'int8', path }
  ] as const
  const latencies = await measureLatency({ variants, batch: 2, threads: 1, runs: 40 })
  assert.deepEqual(Object.keys(latencies), ['baseline', 'int8'])
  for (const latency of Object.values(latencies)) {
    assert.ok(Value.Check(Latency, latency))
    assert.deepEqual([latency.batch, latency.threads, latency.runs], [2, 1, 40])
    assert.ok(latency.medianMs > 0 && latency.medianMs <= latency.p90Ms)
    assert.deepEqual(latency.machine, machine())
  }
})

test('measureLatency() refuses a damaged file and measures on', async (t) => {
  const path = await model(t)
  const order = { batch: 1, threads: 1, runs: 20 }
  const broken = join(path, '..', 'broken.onnx')
  await writeFile(broken, 'not a model')
  const [refused, measured] = await Promise.allSettled([
    measureLatency({ ...order, variants: [{ variant: 'int8', path: broken }] }),
    measureLatency({ ...order, variants: [{ variant: 'int8', path }] })
  ])
  assert.equal(refused.status === 'rejected' && refused.reason.code, 'MODEL_INVALID')
  assert.equal(measured.status, 'fulfilled')
})

test('measureLatency() ends when its signal aborts', async (t) => {
  const path = await slowModel(t)
  const leaving = new AbortController()
  const measuring = measureLatency({
    variants: [{ variant: 'int8', path }],
    batch: 1024,
    threads: 1,
    runs: 10_000,
    signal: leaving.signal
  })
  setTimeout(() => leaving.abort(new Error('enough')), 1200)
  await assert.rejects(measuring, /enough/)
})
