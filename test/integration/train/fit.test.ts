/** Whole runs: learning, stopping, resuming bit for bit, and leaving nothing behind. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TrainOptions } from '../../../src/contract/recipe.ts'
import type { ServiceError } from '../../../src/errors.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { type Control, type FitRequest, type FitResult, fit } from '../../../src/train/fit.ts'
import { predict } from '../../../src/train/predict.ts'
import { scoreOf } from '../../../src/train/score.ts'
import type { FitState } from '../../../src/train/state.ts'
import { labelledSource } from '../../support/labelled-source.ts'
import { builtNetwork } from '../../support/networks.ts'
import { adamwOptions, trainOptions } from '../../support/train-options.ts'

const engine = await loadEngine('tensorflow', { threads: 1 })
const network = builtNetwork({
  architecture: 'simple-cnn',
  inputSize: 12,
  channels: 1,
  width: 0.25
})
// 60 images in batches of 16: the last batch of an epoch is a short one.
const train = labelledSource({ count: 60, seed: 1 })
const validation = labelledSource({ count: 40, seed: 2 })
/** With all that has a state: moments, averages, augmentation, dropout. */
const options = trainOptions({
  epochs: 4,
  batchSize: 16,
  optimizer: adamwOptions(),
  ema: { decay: 0.9 },
  warmupEpochs: 0.5,
  labelSmoothing: 0.1
})

const run = (changes: Partial<FitRequest> = {}): Promise<FitResult> =>
  fit({
    engine,
    network,
    weights: initialWeights(network, 3),
    train,
    validation,
    options,
    augment: [{ op: 'rotate', degrees: 10 }],
    seed: 3,
    stage: 'train',
    ...changes
  })

type Finished = Extract<FitResult, { kind: 'finished' }>

const finished = (result: FitResult): Finished => {
  assert.ok(result.kind === 'finished', result.kind)
  return result
}

/** Answers `order` when asked for the n-th time, counted from 0. */
const orderAt = (n: number, order: Control) => {
  let asked = 0
  return (): Control => (asked++ === n ? order : 'continue')
}

describe('fit()', () => {
  test('learns what can be learned, and returns the weights of its best epoch', async () => {
    const longer = trainOptions({ epochs: 12, batchSize: 16, learningRate: 0.05 })
    const metrics: { epoch: number; accuracy: number; best: boolean }[] = []
    const result = finished(
      await run({
        options: longer,
        onEpoch({ metric, best }) {
          metrics.push({ epoch: metric.epoch, accuracy: metric.validation.accuracy, best })
        }
      })
    )
    assert.equal(metrics.length, 12)
    assert.ok(result.best.accuracy > 0.9, `accuracy ${result.best.accuracy}`)
    assert.equal(result.best.accuracy, Math.max(...metrics.map(({ accuracy }) => accuracy)))
    assert.equal(result.best.epoch, metrics.findLast(({ best }) => best)?.epoch)
    const { weights } = result
    const probabilities = await predict({ engine, network, weights, source: validation })
    assert.equal(scoreOf(probabilities, validation.labels).accuracy, result.best.accuracy)
  })

  test('comes out the same from the same seed, and differently from another', async () => {
    const [first, second, other] = [
      finished(await run()),
      finished(await run()),
      finished(await run({ seed: 4 }))
    ]
    assert.deepEqual(second, first)
    assert.notDeepEqual(other.weights, first.weights)
  })

  test('goes on bit for bit from any batch, in the middle of an epoch and at its end', async () => {
    const undisturbed = finished(await run())
    for (const batch of [1, 4, 6, 11, 15]) {
      const paused = await run({ control: orderAt(batch, 'checkpoint') })
      assert.ok(paused.kind === 'checkpointed')
      assert.equal(paused.state.progress.updates, batch)
      const resumed = finished(await run({ resume: throughJson(paused.state) }))
      assert.deepEqual(resumed, undisturbed, `paused after ${batch} batches`)
    }
  })

  test('goes on bit for bit from the checkpoints that are due between batches and after epochs', async () => {
    const undisturbed = finished(await run())
    const states: FitState[] = []
    let asked = 0
    await run({
      isCheckpointDue: ({ epochEnded }) => epochEnded || asked++ % 6 === 0,
      onCheckpoint: async (capture) => void states.push(capture())
    })
    const places = states.map(({ progress }) => [progress.updates, progress.step])
    assert.deepEqual(places, [
      [1, 1],
      [4, 0],
      [7, 3],
      [8, 0],
      [12, 0],
      [13, 1],
      [16, 0]
    ])
    for (const state of states) {
      assert.deepEqual(finished(await run({ resume: throughJson(state) })), undisturbed)
    }
  })

  test('goes on twice interrupted, with a teacher', async () => {
    const teacher = { network, weights: initialWeights(network, 8), temperature: 2, weight: 0.5 }
    const undisturbed = finished(await run({ teacher }))
    assert.notDeepEqual(undisturbed.weights, finished(await run()).weights)
    const first = await run({ teacher, control: orderAt(5, 'checkpoint') })
    assert.ok(first.kind === 'checkpointed')
    const second = await run({ teacher, resume: first.state, control: orderAt(4, 'checkpoint') })
    assert.ok(second.kind === 'checkpointed')
    assert.deepEqual(finished(await run({ teacher, resume: second.state })), undisturbed)
  })

  test('keeps the best weights through a checkpoint, also when later epochs are worse', async () => {
    // Ever larger steps: the first epochs are the best, and the last ones undo them.
    const wild = trainOptions({ epochs: 6, batchSize: 16, learningRate: 3 })
    const undisturbed = finished(await run({ options: wild }))
    assert.ok(undisturbed.best.epoch < 6, `best epoch ${undisturbed.best.epoch}`)
    const updates = 6 * 4 - 2
    const paused = await run({ options: wild, control: orderAt(updates, 'checkpoint') })
    assert.ok(paused.kind === 'checkpointed')
    assert.equal(paused.state.progress.best?.epoch, undisturbed.best.epoch)
    const resumed = finished(await run({ options: wild, resume: throughJson(paused.state) }))
    assert.deepEqual(resumed, undisturbed)
  })

  test('ends in the middle of a validation when told to, and goes on bit for bit', async () => {
    const undisturbed = finished(await run())
    for (const batch of [1, 2, 5]) {
      let validated = 0
      const isEnding = () => validated++ >= batch
      const paused = await run({
        isEnding,
        control: () => (validated > batch ? 'checkpoint' : 'continue')
      })
      assert.ok(paused.kind === 'checkpointed')
      assert.equal(paused.state.progress.step, 4, 'the epoch is still open')
      assert.deepEqual(finished(await run({ resume: throughJson(paused.state) })), undisturbed)
    }
  })

  test('refuses the state of another network', async () => {
    const paused = await run({ control: orderAt(1, 'checkpoint') })
    assert.ok(paused.kind === 'checkpointed')
    const { tensors } = paused.state
    const [name = ''] = tensors.keys()
    const state = { ...paused.state, tensors: new Map([...tensors, [name, new Float32Array(1)]]) }
    await assert.rejects(run({ resume: state }), /Cannot resume: .* received 1/)
  })

  test('ends early when validation no longer improves', async () => {
    // At next to no learning rate every epoch is as good as the first.
    const idle: TrainOptions = trainOptions({
      epochs: 50,
      batchSize: 16,
      learningRate: 1e-30,
      earlyStopping: { patience: 2 }
    })
    const result = finished(await run({ options: idle, augment: [] }))
    assert.equal(result.stopReason, 'early-stopping')
    assert.ok(result.epochs - result.best.epoch === 2 && result.epochs < 50, `${result.epochs}`)
  })

  test('stops with the best so far, and a stop before the first step still gives a model', async () => {
    const later = finished(await run({ control: orderAt(6, 'stop') }))
    assert.deepEqual([later.stopReason, later.epochs, later.best.epoch], ['stopped', 1, 1])
    const atOnce = finished(await run({ control: () => 'stop' }))
    assert.deepEqual([atOnce.stopReason, atOnce.epochs], ['stopped', 1])
  })

  test('cancels without a result', async () => {
    assert.deepEqual(await run({ control: orderAt(3, 'cancel') }), { kind: 'cancelled' })
  })

  test('says where a run diverged, and what may help', async () => {
    const optimizer = { name: 'sgd', momentum: 0.99, nesterov: true, weightDecay: 1 } as const
    const wild = trainOptions({ epochs: 30, batchSize: 4, learningRate: 10, optimizer })
    await assert.rejects(run({ options: wild }), (error: ServiceError) => {
      assert.equal(error.code, 'TRAINING_DIVERGED')
      assert.match(error.detail, /epoch 1, step \d+; a learning rate below [\d.e-]+ may help/)
      return true
    })
  })

  test('holds no more tensors from epoch to epoch, and none at its end', async () => {
    const before = engine.tensorCount()
    const counts: number[] = []
    await run({ onEpoch: () => void counts.push(engine.tensorCount()) })
    assert.equal(counts.length, 4)
    assert.deepEqual(new Set(counts).size, 1)
    assert.equal(engine.tensorCount(), before)
  })

  test('refuses images that do not fit the network', async () => {
    const colour = labelledSource({ count: 8, channels: 3 })
    await assert.rejects(run({ train: colour }), RangeError)
    await assert.rejects(run({ train: { ...train, count: 0 } }), /holds no image/)
  })
})

/** As a checkpoint file keeps it: numbers as JSON, tensors copied. */
function throughJson({ format, progress, tensors }: FitState): FitState {
  const copied = [...tensors].map(([name, data]) => [name, data.slice()] as const)
  return { format, progress: JSON.parse(JSON.stringify(progress)), tensors: new Map(copied) }
}
