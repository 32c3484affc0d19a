/** Orders to end, given in the middle of each long piece of work: what is under way is broken off there. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import type { Pack } from '../../../src/dataset/pack.ts'
import type { ImageSource } from '../../../src/image/source.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { quantize } from '../../../src/quantize/quantize.ts'
import { openSession } from '../../../src/runtime/session.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { pipelineForm } from '../../../src/worker/checkpoint-file.ts'
import { Checkpoints } from '../../../src/worker/checkpoints.ts'
import { Decisions } from '../../../src/worker/decisions.ts'
import type { JobContext } from '../../../src/worker/job-context.ts'
import { Interrupted, yieldToOrders } from '../../../src/worker/orders.ts'
import { emptyState, type Trained } from '../../../src/worker/pipeline-state.ts'
import { Progress } from '../../../src/worker/progress.ts'
import { evaluateStep } from '../../../src/worker/steps/evaluate.ts'
import { prepare } from '../../../src/worker/steps/prepare.ts'
import { quantizeStep } from '../../../src/worker/steps/quantize.ts'
import { TrainerChannel } from '../../../src/worker/trainer-channel.ts'
import { brightClassifier, brightLabels } from '../../support/bright-classifier.ts'
import { labelledSource } from '../../support/labelled-source.ts'
import { builtNetwork } from '../../support/networks.ts'
import { smallRecipe, trainerBench } from '../../support/trainer-run.ts'

const engine = await loadEngine('wasm')

/** A job's context in this process, with a channel whose messages `react` may answer. */
async function contextOf(
  t: TestContext,
  react: (message: FromTrainer, channel: TrainerChannel) => void = () => {}
): Promise<JobContext> {
  const { assignment, paths } = await trainerBench(t, smallRecipe)
  const channel = new TrainerChannel(async (message) => react(message, channel))
  return {
    assignment,
    paths,
    engine,
    channel,
    checkpoints: new Checkpoints(paths.scratch, channel, pipelineForm),
    decisions: new Decisions([], channel),
    progress: new Progress(channel)
  }
}

const end = (channel: TrainerChannel, order: 'cancel' | 'checkpoint'): void =>
  channel.receive({ type: 'order', order })
const interruptedAs = (reason: Interrupted['reason']) => (error: unknown) =>
  error instanceof Interrupted && error.reason === reason

/** Eight batches of images; an order to checkpoint comes while the n-th is read. */
function orderedAt(n: number, channel: TrainerChannel, source: ImageSource) {
  const reads = { count: 0 }
  const counted: ImageSource = {
    ...source,
    read(positions, into) {
      if (++reads.count === n) end(channel, 'checkpoint')
      source.read(positions, into)
    }
  }
  return { reads, source: counted }
}

const packOf = (
  splits: Pick<Pack, 'train' | 'validation' | 'test'>,
  labels: readonly string[]
) => ({
  size: splits.train.size,
  channels: splits.train.channels,
  labels,
  mean: 128,
  std: 50,
  close() {},
  ...splits
})

test('an order ends the building of a pack at once, and leaves nothing half-built', async (t) => {
  const context = await contextOf(t, (message, channel) => {
    if (message.type === 'stage' && message.progress > 0) end(channel, 'checkpoint')
  })
  await assert.rejects(prepare(context), interruptedAs('checkpointed'))
  const left = await readdir(context.paths.packs)
  assert.deepEqual(
    left.filter((name) => !name.endsWith('.lock')),
    []
  )
})

test('an order ends calibration before its next batch', async (t) => {
  const context = await contextOf(t)
  const images = labelledSource({ count: 512 })
  const { reads, source } = orderedAt(2, context.channel, images)
  const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 12, channels: 1 })
  const calibrating = quantizeStep(context, {
    model: { network, weights: initialWeights(network, 1) },
    from: 'baseline',
    pack: packOf({ train: source, validation: images, test: images }, ['a', 'b', 'c', 'd']),
    options: { precision: 'int8', images: 512, calibration: 'minmax' }
  })
  await assert.rejects(calibrating, interruptedAs('checkpointed'))
  assert.equal(reads.count, 2)
})

test('an order ends the search of ranges', async (t) => {
  const context = await contextOf(t)
  const images = labelledSource({ count: 64 })
  // Two passes over one batch each: the order comes with the last batch, after which ranges are searched.
  const { reads, source } = orderedAt(2, context.channel, images)
  const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 12, channels: 1 })
  const searching = quantize({
    network,
    weights: initialWeights(network, 1),
    source,
    options: { precision: 'int8', images: 64, calibration: 'entropy' },
    seed: 1,
    openFloat: (given) => openSession(exportOnnx(given), { threads: 1 }),
    beforeRange: () => yieldToOrders(context)
  })
  await assert.rejects(searching, interruptedAs('checkpointed'))
  assert.equal(reads.count, 2)
})

const exported: Trained = {
  ...emptyState,
  baseline: { network: builtNetwork({ architecture: 'simple-cnn' }), weights: new Map() },
  exported: [
    { variant: 'baseline', from: null, onnx: brightClassifier(), parameters: 1, macs: 1 },
    { variant: 'int8', from: 'baseline', onnx: brightClassifier(), parameters: 1, macs: 1 }
  ]
}

test('an order ends an evaluation before its next batch', async (t) => {
  const context = await contextOf(t)
  const images = labelledSource({ count: 512, size: 8, classes: 2 })
  const { reads, source } = orderedAt(3, context.channel, images)
  const pack = packOf({ train: images, validation: images, test: source }, brightLabels)
  await assert.rejects(evaluateStep(context, pack, exported), interruptedAs('checkpointed'))
  assert.equal(reads.count, 3)
})

test('an order ends the wait for latencies, with every evaluation in a checkpoint', async (t) => {
  const context = await contextOf(t, (message, channel) => {
    if (message.type === 'measure') end(channel, 'cancel')
  })
  const images = labelledSource({ count: 64, size: 8, classes: 2 })
  const pack = packOf({ train: images, validation: images, test: images }, brightLabels)
  await assert.rejects(evaluateStep(context, pack, exported), interruptedAs('cancelled'))
  const written = await readdir(context.paths.scratch)
  assert.deepEqual(
    written.filter((name) => name.endsWith('.safetensors')),
    ['checkpoint-000001.safetensors', 'checkpoint-000002.safetensors']
  )
})
