/** The fallback: a whole job without TensorFlow's native library, and resumed on it bit for bit. */
import assert from 'node:assert/strict'
import { copyFile, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Recipe } from '../../../src/contract/recipe.ts'
import {
  type Bench,
  freshScratch,
  of,
  runTrainer,
  trainerBench
} from '../../support/trainer-run.ts'

const recipe: Recipe = {
  network: { architecture: 'simple-cnn', width: 0.25, inputSize: 16 },
  augment: [
    { op: 'rotate', degrees: 10 },
    { op: 'brightness', amount: 0.1 }
  ],
  train: { epochs: 3, batchSize: 16, learningRate: 0.05 },
  prune: { macs: 0.6, roundTo: 8, epochs: 1, criterion: 'taylor' },
  quantize: { images: 64 }
}

const onWasm = (bench: Bench, react?: Parameters<typeof runTrainer>[1]) =>
  runTrainer(bench, react, 'wasm')

test('a job trains, prunes and quantizes on wasm, and a killed one ends with the same bytes', async (t) => {
  const undisturbed = await trainerBench(t, recipe)
  const { messages } = await onWasm(undisturbed)
  assert.equal(of(messages, 'engine')[0]?.engine.name, 'wasm')
  const [done] = of(messages, 'done')
  assert.ok(done)
  const { variants } = done.report
  assert.deepEqual(Object.keys(variants), ['baseline', 'pruned', 'int8'])
  for (const [name, { accuracy }] of Object.entries(variants)) {
    assert.ok(accuracy.test.value > 0.7, `${name} is right in ${accuracy.test.value}`)
  }

  const first = await trainerBench(t, recipe)
  const killed = await onWasm(first, (message, trainer) => {
    if (message.type === 'checkpoint') process.kill(trainer.pid, 'SIGKILL')
  })
  assert.equal(killed.end.signal, 'SIGKILL')
  const [checkpoint] = of(killed.messages, 'checkpoint')
  assert.ok(checkpoint)
  const scratch = await freshScratch(dirname(first.paths.scratch))
  await copyFile(join(first.paths.scratch, checkpoint.name), join(scratch, checkpoint.name))
  const second: Bench = {
    assignment: { ...first.assignment, attempt: 2, checkpoints: [checkpoint] },
    paths: { ...first.paths, scratch }
  }
  const again = await onWasm(second)
  assert.equal(of(again.messages, 'metric')[0]?.metric.epoch, 2)
  for (const file of ['baseline.onnx', 'pruned.onnx', 'int8.onnx']) {
    const [a, b] = [undisturbed, second].map(({ paths }) => join(paths.scratch, 'artifacts', file))
    assert.ok((await readFile(a as string)).equals(await readFile(b as string)), file)
  }
})
