/** Stops, by order and by clock: recorded before they are acted on, and repeated by a later attempt. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import { buildNetwork } from '../../../src/network/architecture/build.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { writeCheckpoint } from '../../../src/worker/checkpoint-file.ts'
import { emptyState } from '../../../src/worker/pipeline-state.ts'
import {
  artifactDigests,
  type Bench,
  of,
  runTrainer,
  smallRecipe,
  trainerBench
} from '../../support/trainer-run.ts'

const hurried = (bench: Bench, secondsLeft: number): Bench => ({
  ...bench,
  assignment: { ...bench.assignment, secondsLeft }
})
const decisionsOf = (messages: readonly FromTrainer[]) =>
  of(messages, 'decision').map(({ decision }) => decision)
const variantsOf = (messages: readonly FromTrainer[]) =>
  Object.keys(of(messages, 'done')[0]?.report.variants ?? {})

test('a stop ends training early and publishes the best so far, without a cut it cannot repair', async (t) => {
  const bench = await trainerBench(t, smallRecipe)
  const { messages } = await runTrainer(bench, (message, trainer) => {
    if (message.type === 'metric') trainer.send({ type: 'order', order: 'stop' })
  })
  assert.equal(of(messages, 'done')[0]?.stopReason, 'stopped')
  assert.deepEqual(variantsOf(messages), ['baseline', 'int8'])
  assert.ok(of(messages, 'metric').length < 5)
  const decisions = decisionsOf(messages)
  assert.deepEqual(
    decisions.map(({ stage, reason }) => [stage, reason]),
    [['train', 'stopped']],
    'what follows from it is no decision of its own'
  )

  // An attempt that is handed the decision, from before it, stops at the same step: no earlier although
  // it has no time left at all, no later, and with no decision of its own.
  const first = hurried(await trainerBench(t, smallRecipe), 0)
  const second: Bench = { ...first, assignment: { ...first.assignment, attempt: 2, decisions } }
  const again = await runTrainer(second)
  assert.deepEqual(decisionsOf(again.messages), [])
  assert.equal(of(again.messages, 'done')[0]?.stopReason, 'stopped')
  assert.deepEqual(await artifactDigests(second), await artifactDigests(bench))
})

test('a passed limit is a stop', async (t) => {
  const bench = hurried(await trainerBench(t, smallRecipe), 0.001)
  const { messages } = await runTrainer(bench)
  assert.equal(of(messages, 'done')[0]?.stopReason, 'limit')
  assert.deepEqual(decisionsOf(messages), [{ stage: 'train', reason: 'limit', updates: 1 }])
})

test('what is not stored is not decided: the trainer waits, and still obeys an order to checkpoint', async (t) => {
  const bench = await trainerBench(t, smallRecipe)
  const { messages, end } = await runTrainer(
    bench,
    (message, trainer) => {
      if (message.type === 'metric') trainer.send({ type: 'order', order: 'stop' })
      if (message.type === 'decision') trainer.send({ type: 'order', order: 'checkpoint' })
    },
    { storesDecisions: false }
  )
  assert.deepEqual(end, { exitCode: 0, signal: null })
  assert.equal(of(messages, 'ended')[0]?.reason, 'checkpointed')
  assert.deepEqual(of(messages, 'done'), [])
})

test('a limit that passes between training and pruning leaves the cut out, for every attempt', async (t) => {
  const bench = await trainerBench(t, { ...smallRecipe, quantize: null })
  const network = buildNetwork(bench.assignment.recipe.network, {
    classes: 3,
    scale: 0.01,
    zeroPoint: 128
  })
  const baseline = { network, weights: initialWeights(network, 1) }
  const bytes = writeCheckpoint({ ...emptyState, baseline })
  const name = 'checkpoint-000001.safetensors'
  await writeFile(join(bench.paths.scratch, name), bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const checkpoints = [{ name, sha256, bytes: bytes.length }]
  const trained: Bench = { ...bench, assignment: { ...bench.assignment, checkpoints } }
  const late = await runTrainer(hurried(trained, 0))
  const decisions = decisionsOf(late.messages)
  assert.deepEqual(decisions, [{ stage: 'prune', reason: 'limit', updates: 0 }])
  assert.equal(of(late.messages, 'done')[0]?.stopReason, 'limit')

  // Handed the same checkpoint and the decision, and all the time in the world.
  const next: Bench = { ...trained, assignment: { ...trained.assignment, attempt: 2, decisions } }
  const { messages } = await runTrainer(next)
  assert.deepEqual(variantsOf(messages), ['baseline'])
  assert.equal(of(messages, 'done')[0]?.stopReason, 'limit')
  assert.deepEqual(decisionsOf(messages), [])
})
