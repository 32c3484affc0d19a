/** Trainers killed in every stage: finished pieces are not made again, and the bytes are the same. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import type { TrainerProcess } from '../../../src/worker/trainer-process.ts'
import {
  artifactDigests,
  type Bench,
  nextAttempt,
  of,
  runTrainer,
  smallRecipe,
  type TrainerRun,
  trainerBench
} from '../../support/trainer-run.ts'

/** What a run that nobody disturbs publishes; made once for all tests. */
let undisturbed: Promise<Record<string, string>> | undefined
const expected = (t: TestContext): Promise<Record<string, string>> => {
  undisturbed ??= trainerBench(t, smallRecipe).then(async (bench) => {
    await runTrainer(bench)
    return artifactDigests(bench)
  })
  return undisturbed
}

type Wanted = (message: FromTrainer, before: readonly FromTrainer[]) => boolean

/** Does something once, at the first message that is wanted. */
function once(
  isWanted: Wanted,
  act: (trainer: TrainerProcess) => void
): (message: FromTrainer, trainer: TrainerProcess) => void {
  const before: FromTrainer[] = []
  let isDone = false
  return (message, trainer) => {
    if (!isDone && isWanted(message, before)) {
      isDone = true
      act(trainer)
    }
    before.push(message)
  }
}

const killAt = (isWanted: Wanted) => once(isWanted, ({ kill }) => kill())

const isStage =
  (stage: string): Wanted =>
  (message) =>
    message.type === 'stage' && message.stage === stage
/** A checkpoint behind the first message of that kind. */
const checkpointAfter =
  (isFirst: (message: FromTrainer) => boolean): Wanted =>
  (message, before) =>
    message.type === 'checkpoint' && before.some(isFirst)
const isMetricOf = (stage: string) => (message: FromTrainer) =>
  message.type === 'metric' && message.metric.stage === stage
const isLog = (text: string) => (message: FromTrainer) =>
  message.type === 'log' && message.message.includes(text)

async function killed(bench: Bench, isWanted: Wanted): Promise<TrainerRun & { next: Bench }> {
  const run = await runTrainer(bench, killAt(isWanted))
  assert.equal(run.end.signal, 'SIGKILL', JSON.stringify(run.messages.at(-1)))
  return { ...run, next: await nextAttempt(bench, run.messages) }
}

const epochsOf = ({ messages }: TrainerRun): string[] =>
  of(messages, 'metric').map(({ metric }) => `${metric.stage} ${metric.epoch}`)
const logs = ({ messages }: TrainerRun, text: string): boolean => messages.some(isLog(text))

test('a trainer killed in every stage makes no finished piece again and publishes the same bytes', async (t) => {
  const first = await trainerBench(t, smallRecipe)
  const preparing = await killed(first, isStage('prepare'))
  assert.deepEqual(of(preparing.messages, 'checkpoint'), [])

  const training = await killed(preparing.next, checkpointAfter(isMetricOf('train')))
  const done = epochsOf(training).length
  assert.ok(done >= 1)

  const pruning = await killed(training.next, checkpointAfter(isMetricOf('prune')))
  assert.ok(logs(pruning, 'going on from a checkpoint'))
  assert.notEqual(epochsOf(pruning)[0], 'train 1')
  assert.equal(epochsOf(pruning).at(-1)?.startsWith('prune'), true)

  const quantizing = await killed(pruning.next, isStage('quantize'))
  assert.ok(epochsOf(quantizing).every((epoch) => epoch.startsWith('prune')))
  assert.ok(!logs(quantizing, 'pruned by taylor'), 'the cut is a finished piece')

  const evaluating = await killed(
    quantizing.next,
    checkpointAfter(isLog('baseline: validation accuracy'))
  )
  assert.deepEqual(epochsOf(evaluating), [])
  assert.ok(logs(evaluating, 'int8: calibrated'), 'it had been killed before')

  const measuring = await killed(
    evaluating.next,
    checkpointAfter(({ type }) => type === 'measure')
  )
  assert.deepEqual(epochsOf(measuring), [])
  assert.ok(!logs(measuring, 'int8: calibrated'), 'the exported files are a finished piece')
  assert.ok(!logs(measuring, 'baseline: validation accuracy'), 'so is each evaluation')
  assert.ok(logs(measuring, 'int8: validation accuracy'))
  assert.deepEqual(of(measuring.messages, 'artifact'), [], 'the api has the files already')

  const publishing = await killed(measuring.next, ({ type }) => type === 'artifact')
  assert.deepEqual(of(publishing.messages, 'measure'), [], 'latencies are measured once')
  assert.ok(!logs(publishing, 'validation accuracy'))

  // The job keeps the threads of its first attempt, whatever the worker is set to.
  const last = await runTrainer(publishing.next, () => {}, { threads: 2 })
  const [here] = of(last.messages, 'environment')
  assert.deepEqual(here, of(preparing.messages, 'environment')[0])
  assert.equal(here?.environment.threads, 1)
  assert.equal(of(last.messages, 'done').length, 1)
  assert.deepEqual(epochsOf(last), [])
  assert.deepEqual(await artifactDigests(publishing.next), await expected(t))
})

test('an order to checkpoint ends the trainer mid-epoch, and it goes on bit for bit', async (t) => {
  const first = await trainerBench(t, smallRecipe)
  const { messages, end } = await runTrainer(
    first,
    once(isMetricOf('train'), (trainer) => trainer.send({ type: 'order', order: 'checkpoint' }))
  )
  assert.deepEqual(end, { exitCode: 0, signal: null })
  assert.equal(of(messages, 'ended')[0]?.reason, 'checkpointed')
  const second = await nextAttempt(first, messages)
  const again = await runTrainer(second)
  const epochs = [...of(messages, 'metric'), ...of(again.messages, 'metric')]
  assert.equal(epochs.length, 8, 'no epoch is missing, and none was run twice')
  assert.deepEqual(await artifactDigests(second), await expected(t))
})
