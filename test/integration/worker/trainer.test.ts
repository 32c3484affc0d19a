import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Recipe } from '../../../src/contract/recipe.ts'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import {
  type Bench,
  freshScratch,
  of,
  runTrainer,
  trainerBench
} from '../../support/trainer-run.ts'

const recipe: Recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  augment: [{ op: 'rotate', degrees: 10 }],
  train: { epochs: 5, batchSize: 16, learningRate: 0.05 },
  prune: { macs: 0.5, roundTo: 8, epochs: 3, criterion: 'taylor' },
  quantize: { images: 64 }
}

type Checkpoint = Extract<FromTrainer, { type: 'checkpoint' }>

const sha256Of = async (bench: Bench, file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(join(bench.paths.scratch, 'artifacts', file)))
    .digest('hex')

/** The bench of the next attempt, which is handed these checkpoints of the one before, newest first. */
async function nextAttempt(bench: Bench, checkpoints: readonly Checkpoint[]): Promise<Bench> {
  const scratch = await freshScratch(dirname(bench.paths.scratch))
  for (const { name } of checkpoints) {
    await copyFile(join(bench.paths.scratch, name), join(scratch, name))
  }
  return {
    assignment: { ...bench.assignment, attempt: 2, checkpoints: [...checkpoints] },
    paths: { ...bench.paths, scratch }
  }
}

const files = ['baseline.onnx', 'pruned.onnx', 'int8.onnx', 'weights.safetensors']

test('the trainer learns, prunes, quantizes and reports from the exported files', async (t) => {
  const bench = await trainerBench(t, recipe)
  const { messages, end } = await runTrainer(bench)
  assert.deepEqual(end, { exitCode: 0, signal: null })
  const [done] = of(messages, 'done')
  assert.ok(done)
  const { variants, labels } = done.report
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
})

test('a trainer killed mid-epoch, in training and in fine-tuning, ends with the same bytes', async (t) => {
  const undisturbed = await trainerBench(t, recipe)
  await runTrainer(undisturbed)

  const first = await trainerBench(t, recipe)
  const killed = await runTrainer(first, killAfter('train', 2))
  assert.equal(killed.end.signal, 'SIGKILL')
  const second = await nextAttempt(first, of(killed.messages, 'checkpoint').slice(-1))
  const again = await runTrainer(second, killAfter('prune', 1))
  assert.equal(again.end.signal, 'SIGKILL')
  const [resumedAt] = of(again.messages, 'metric')
  assert.equal(resumedAt?.metric.epoch, 3)
  const third = await nextAttempt(second, of(again.messages, 'checkpoint').slice(-1))
  const { messages } = await runTrainer(third)
  assert.deepEqual(
    of(messages, 'metric').map(({ metric }) => `${metric.stage} ${metric.epoch}`),
    ['prune 2', 'prune 3']
  )
  for (const file of files) {
    assert.equal(await sha256Of(third, file), await sha256Of(undisturbed, file), file)
  }
})

test('an order to checkpoint ends the trainer mid-epoch, and it goes on bit for bit', async (t) => {
  const undisturbed = await trainerBench(t, recipe)
  await runTrainer(undisturbed)
  const first = await trainerBench(t, recipe)
  const { messages, end } = await runTrainer(first, (message, trainer) => {
    if (message.type === 'metric' && message.metric.epoch === 1) {
      // A moment later, so that some batches of the next epoch are done.
      setTimeout(() => trainer.send({ type: 'order', order: 'checkpoint' }), 15)
    }
  })
  assert.deepEqual(end, { exitCode: 0, signal: null })
  assert.equal(of(messages, 'ended')[0]?.reason, 'checkpointed')
  const second = await nextAttempt(first, of(messages, 'checkpoint').slice(-1))
  await runTrainer(second)
  for (const file of files) {
    assert.equal(await sha256Of(second, file), await sha256Of(undisturbed, file), file)
  }
})

test('a damaged checkpoint is passed over for the one before', async (t) => {
  const first = await trainerBench(t, recipe)
  const killed = await runTrainer(first, killAfter('train', 3))
  const [older, newest] = of(killed.messages, 'checkpoint').slice(-2)
  assert.ok(older && newest)
  const damaged = await readFile(join(first.paths.scratch, newest.name))
  damaged[damaged.length - 5] = (damaged[damaged.length - 5] ?? 0) ^ 1
  await writeFile(join(first.paths.scratch, newest.name), damaged)
  const second = await nextAttempt(first, [newest, older])
  const { messages } = await runTrainer(second)
  assert.equal(of(messages, 'metric')[0]?.metric.epoch, 3)
  assert.ok(of(messages, 'log').some(({ message }) => message.includes(newest.name)))
})

test('a stop ends training early and publishes the best so far, without a cut it cannot repair', async (t) => {
  const bench = await trainerBench(t, recipe)
  const { messages } = await runTrainer(bench, (message, trainer) => {
    if (message.type === 'metric') trainer.send({ type: 'order', order: 'stop' })
  })
  const [done] = of(messages, 'done')
  assert.equal(done?.stopReason, 'stopped')
  assert.deepEqual(Object.keys(done?.report.variants ?? {}), ['baseline', 'int8'])
  assert.ok(of(messages, 'metric').length < 5)
})

test('a passed limit is a stop', async (t) => {
  const bench = await trainerBench(t, recipe)
  const hurried = { ...bench, assignment: { ...bench.assignment, secondsLeft: 0.001 } }
  const { messages } = await runTrainer(hurried)
  assert.equal(of(messages, 'done')[0]?.stopReason, 'limit')
})

test('a cancel ends the trainer without a report', async (t) => {
  const bench = await trainerBench(t, recipe)
  const { messages, end } = await runTrainer(bench, (message, trainer) => {
    if (message.type === 'metric') trainer.send({ type: 'order', order: 'cancel' })
  })
  assert.deepEqual(end, { exitCode: 0, signal: null })
  assert.deepEqual(of(messages, 'ended'), [{ type: 'ended', reason: 'cancelled' }])
  assert.deepEqual(of(messages, 'done'), [])
})

test('a diverging run fails with its code', async (t) => {
  const wild = { ...recipe, train: { ...recipe.train, learningRate: 10, batchSize: 4 } }
  const optimizer = { name: 'sgd', momentum: 0.99, weightDecay: 1 } as const
  const bench = await trainerBench(t, { ...wild, train: { ...wild.train, optimizer } })
  const { messages } = await runTrainer(bench)
  assert.equal(of(messages, 'failed')[0]?.code, 'TRAINING_DIVERGED')
})

function killAfter(stage: string, epoch: number): Parameters<typeof runTrainer>[1] {
  let isKilling = false
  return (message, trainer) => {
    if (message.type === 'metric' && message.metric.stage === stage) {
      isKilling = message.metric.epoch === epoch
    }
    // With the checkpoint of the epoch written, some batches into the next one.
    if (isKilling && message.type === 'checkpoint') {
      setTimeout(() => process.kill(trainer.pid, 'SIGKILL'), 10)
    }
  }
}
