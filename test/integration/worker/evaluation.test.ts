import assert from 'node:assert/strict'
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { EvaluationReport } from '../../../src/contract/evaluation.ts'
import type { EvaluateAssignment } from '../../../src/contract/job.ts'
import { ServiceError } from '../../../src/errors.ts'
import { ApiRefusal } from '../../../src/worker/api-call.ts'
import { fetchModels } from '../../../src/worker/fetch-models.ts'
import { troubleOf } from '../../../src/worker/outcome.ts'
import { type EvaluationBench, evaluationBench } from '../../support/evaluation-bench.ts'
import { nextAttempt, of, runTrainer } from '../../support/trainer-run.ts'

type Evaluation = EvaluateAssignment['evaluation']

async function reportOf(t: TestContext, task: Partial<Evaluation> = {}): Promise<EvaluationReport> {
  const { messages, end } = await runTrainer(await evaluationBench(t, task))
  assert.deepEqual(end, { exitCode: 0, signal: null })
  const [done] = of(messages, 'evaluated')
  assert.ok(done, JSON.stringify(messages))
  return done.report
}

test('a file is judged by the images of the split, its classes matched by name', async (t) => {
  const report = await reportOf(t)
  assert.deepEqual([report.images, report.labels], [20, ['dark', 'bright']])
  assert.deepEqual(report.mapped, ['dark', 'bright'])
  assert.deepEqual(Object.keys(report.variants), ['baseline', 'int8'])
  const { baseline } = report.variants
  assert.ok(baseline)
  assert.equal(baseline.accuracy.value, 0.9)
  assert.deepEqual(baseline.confusion, [
    [10, 0],
    [2, 8]
  ])
  assert.deepEqual(baseline.perClass, [
    { label: 'dark', precision: 10 / 12, recall: 1, images: 10 },
    { label: 'bright', precision: 1, recall: 0.8, images: 10 }
  ])
  const [low = 1, high = 0] = baseline.accuracy.ci95
  assert.ok(low < 0.9 && low > 0.65 && high > 0.9 && high < 1)
  assert.equal(baseline.versusBaseline?.accuracyDrop.value, 0)
})

test('all splits together, and a class that the dataset does not have', async (t) => {
  const labels = ['dark', 'bright', 'twilight']
  const three = await evaluationBench(t, { split: 'all' })
  const { messages } = await runTrainer(three)
  assert.equal(of(messages, 'evaluated')[0]?.report.images, 24)
  assert.deepEqual(of(messages, 'evaluated')[0]?.report.variants.int8?.confusion, [
    [12, 0],
    [2, 10]
  ])
  // The file has two outputs: a version that says three is not what it seems.
  const { end } = await runTrainer(await evaluationBench(t, { labels })).catch((error) => ({
    end: String(error)
  }))
  assert.match(String(end), /expected probabilities \[20, 3\]/)
})

test('without the baseline there is nothing to compare with', async (t) => {
  const { assignment } = await evaluationBench(t)
  const variants = assignment.evaluation.variants.filter(({ variant }) => variant === 'int8')
  const report = await reportOf(t, { variants })
  assert.deepEqual(Object.keys(report.variants), ['int8'])
  assert.equal(report.variants.int8?.versusBaseline, null)
})

test('a killed evaluation goes on with the next file, and says the same', async (t) => {
  const whole = await runTrainer(await evaluationBench(t))
  const bench = await evaluationBench(t)
  const first = await runTrainer(bench, ({ type }, trainer) => {
    if (type === 'checkpoint') trainer.kill()
  })
  assert.equal(first.end.signal, 'SIGKILL')
  const next = await withModels(await nextAttempt(bench, first.messages), bench)
  const second = await runTrainer(next)
  assert.ok(of(second.messages, 'log').some(({ message }) => /from a checkpoint/.test(message)))
  assert.ok(of(second.messages, 'checkpoint').length < of(whole.messages, 'checkpoint').length)
  assert.deepEqual(of(second.messages, 'evaluated'), of(whole.messages, 'evaluated'))
})

test('a stop lets no further file begin', async (t) => {
  const bench = await evaluationBench(t)
  const { messages } = await runTrainer(bench, ({ type }, trainer) => {
    if (type === 'environment') trainer.send({ type: 'order', order: 'stop' })
  })
  const [done] = of(messages, 'evaluated')
  assert.deepEqual(Object.keys(done?.report.variants ?? {}), ['baseline'])
  assert.equal(done?.stopReason, 'stopped')
  assert.deepEqual(of(messages, 'decision')[0]?.decision, {
    stage: 'evaluate',
    reason: 'stopped',
    updates: 1
  })
})

test('a cancel ends it without a report', async (t) => {
  const { messages } = await runTrainer(await evaluationBench(t), ({ type }, trainer) => {
    if (type === 'environment') trainer.send({ type: 'order', order: 'cancel' })
  })
  assert.deepEqual(of(messages, 'ended'), [{ type: 'ended', reason: 'cancelled' }])
  assert.deepEqual(of(messages, 'evaluated'), [])
})

test('a file that is no model fails the job with its code', async (t) => {
  const bench = await evaluationBench(t)
  await writeFile(join(bench.paths.scratch, 'models', 'int8.onnx'), 'no model')
  const { messages } = await runTrainer(bench)
  assert.equal(of(messages, 'failed')[0]?.code, 'MODEL_INVALID')
})

test('bytes other than those that were published are not judged', async (t) => {
  const { assignment, paths } = await evaluationBench(t)
  const other = { getModel: (_: string, file: string) => writeFile(file, 'other bytes') }
  const damaged = (error: unknown) => {
    assert.ok(error instanceof ServiceError)
    assert.match(error.detail, /^Cannot evaluate baseline.onnx: its digest must be .*, received /)
    assert.equal(troubleOf(error, false).kind, 'failed')
    return error.code === 'MODEL_INVALID'
  }
  await assert.rejects(fetchModels(other, assignment, paths.scratch), damaged)
  const gone = {
    getModel: async () => {
      throw new ApiRefusal(422, 'MODEL_INVALID', 'expected 10 bytes, received no file')
    }
  }
  await assert.rejects(fetchModels(gone, assignment, paths.scratch), ServiceError)
})

async function withModels(to: EvaluationBench, from: EvaluationBench): Promise<EvaluationBench> {
  await mkdir(join(to.paths.scratch, 'models'))
  for (const file of await readdir(join(from.paths.scratch, 'models'))) {
    await copyFile(join(from.paths.scratch, 'models', file), join(to.paths.scratch, 'models', file))
  }
  return to
}
