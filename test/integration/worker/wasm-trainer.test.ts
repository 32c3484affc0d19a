/** The fallback: a whole job without TensorFlow's native library, resumed on it, and gone on with on it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Recipe } from '../../../src/contract/recipe.ts'
import {
  artifactDigests,
  type Bench,
  nextAttempt,
  of,
  runTrainer,
  smallRecipe,
  trainerBench
} from '../../support/trainer-run.ts'

const recipe: Recipe = {
  ...smallRecipe,
  network: { ...smallRecipe.network, width: 0.25 },
  augment: [
    { op: 'rotate', degrees: 10 },
    { op: 'brightness', amount: 0.1 }
  ],
  train: { ...smallRecipe.train, epochs: 3 },
  prune: { macs: 0.6, roundTo: 8, epochs: 1, criterion: 'taylor' }
}

const killAtCheckpoint: Parameters<typeof runTrainer>[1] = (message, trainer) => {
  if (message.type === 'checkpoint') trainer.kill()
}
const onWasm = (bench: Bench, react?: Parameters<typeof runTrainer>[1]) =>
  runTrainer(bench, react, { engine: 'wasm' })

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
  const killed = await onWasm(first, killAtCheckpoint)
  assert.equal(killed.end.signal, 'SIGKILL')
  const second = await nextAttempt(first, killed.messages)
  const again = await onWasm(second)
  assert.notEqual(of(again.messages, 'metric')[0]?.metric.epoch, 1)
  assert.deepEqual(await artifactDigests(second), await artifactDigests(undisturbed))
})

test('a job that began on tensorflow goes on where there is only wasm, and says so', async (t) => {
  const first = await trainerBench(t, recipe)
  const killed = await runTrainer(first, killAtCheckpoint)
  const second = await nextAttempt(first, killed.messages)
  const { messages } = await onWasm(second)
  assert.ok(of(messages, 'log').some(({ message }) => message === 'going on from a checkpoint'))
  assert.equal(of(messages, 'done').length, 1)
  const [here] = of(messages, 'environment')
  assert.equal(here?.environment.engine, 'wasm')
  assert.equal(second.assignment.environment?.engine, 'tensorflow')
})
