import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { of, runTrainer, smallRecipe, trainerBench } from '../../support/trainer-run.ts'

test('the trainer learns, prunes, quantizes and reports from the exported files', async (t) => {
  const bench = await trainerBench(t, smallRecipe)
  const { messages, end } = await runTrainer(bench)
  assert.deepEqual(end, { exitCode: 0, signal: null })
  const [done] = of(messages, 'done')
  assert.ok(done)
  const { variants, labels } = done.report
  for (const { reference, accuracy } of Object.values(variants)) {
    assert.equal(reference?.images, accuracy.validation.images)
    for (const counts of [reference?.classes, reference?.confidence, reference?.brightness]) {
      assert.equal(
        counts?.reduce((sum, n) => sum + n, 0),
        reference?.images
      )
    }
  }
  assert.deepEqual(labels, ['cross', 'disc', 'square'])
  assert.deepEqual(Object.keys(variants), ['baseline', 'pruned', 'int8'])
  for (const [name, { accuracy, bytes, file }] of Object.entries(variants)) {
    assert.ok(accuracy.test.value > 0.85, `${name} is right in ${accuracy.test.value}`)
    const written = await readFile(join(bench.paths.scratch, 'artifacts', file))
    assert.equal(written.length, bytes)
  }
  const { baseline, pruned, int8 } = variants
  assert.ok(baseline && pruned && int8)
  assert.ok(pruned.macs <= baseline.macs / 2)
  assert.ok(int8.bytes < pruned.bytes && pruned.bytes < baseline.bytes)
  assert.equal(int8.from, 'pruned')
  const epochs = of(messages, 'metric').map(({ metric }) => `${metric.stage} ${metric.epoch}`)
  const expected = ['train 1', 'train 2', 'train 3', 'train 4', 'train 5']
  assert.deepEqual(epochs, [...expected, 'prune 1', 'prune 2', 'prune 3'])
  const shares = of(messages, 'stage').map(({ progress }) => progress)
  assert.deepEqual(
    shares,
    shares.toSorted((a, b) => a - b)
  )
  assert.equal(messages[0]?.type, 'environment')
  assert.deepEqual(of(messages, 'decision'), [])
})

test('a cancel ends the trainer without a report', async (t) => {
  const bench = await trainerBench(t, smallRecipe)
  const { messages, end } = await runTrainer(bench, (message, trainer) => {
    if (message.type === 'metric') trainer.send({ type: 'order', order: 'cancel' })
  })
  assert.deepEqual(end, { exitCode: 0, signal: null })
  assert.deepEqual(of(messages, 'ended'), [{ type: 'ended', reason: 'cancelled' }])
  assert.deepEqual(of(messages, 'done'), [])
})

test('a diverging run fails with its code', async (t) => {
  const wild = { ...smallRecipe.train, learningRate: 10, batchSize: 4 }
  const optimizer = { name: 'sgd', momentum: 0.99, weightDecay: 1 } as const
  const bench = await trainerBench(t, { ...smallRecipe, train: { ...wild, optimizer } })
  const { messages } = await runTrainer(bench)
  assert.equal(of(messages, 'failed')[0]?.code, 'TRAINING_DIVERGED')
})
