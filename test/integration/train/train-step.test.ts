/** The training step of real networks: compiled against eager, and against differences of its loss. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AugmentOp, NetworkChoice, TrainOptions } from '../../../src/contract/recipe.ts'
import { eagerStep } from '../../../src/tensor/eager-step.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import type { Feed, Step } from '../../../src/tensor/program.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { statisticsMomentum } from '../../../src/train/batch-norm-statistics.ts'
import { emaDecay } from '../../../src/train/ema.ts'
import { type Teacher, type TrainStep, trainStep } from '../../../src/train/train-step.ts'
import { assertClose } from '../../support/close.ts'
import { builtNetwork, noiseImages, trainedWeights } from '../../support/networks.ts'
import { adamwOptions, sgdOptions, trainOptions } from '../../support/train-options.ts'

const engine = await loadEngine('tensorflow', { threads: 2 })
const BATCH = 8
const CLASSES = 10

const networks: Record<string, Partial<NetworkChoice>> = {
  'simple-cnn': { architecture: 'simple-cnn', inputSize: 12, channels: 1, width: 0.25 },
  'resnet-cifar': { architecture: 'resnet-cifar', depth: 8, inputSize: 12, channels: 3, width: 0.5 }
}
const augment: readonly AugmentOp[] = [
  { op: 'rotate', degrees: 15 },
  { op: 'brightness', amount: 0.2 },
  { op: 'contrast', amount: 0.2 }
]

interface StepOptions {
  readonly options?: TrainOptions
  readonly isTaught?: boolean
  readonly augment?: readonly AugmentOp[]
}

const definitionOf = (
  choice: Partial<NetworkChoice>,
  { options = trainOptions(), isTaught = false, augment = [] }: StepOptions
) => {
  const network = builtNetwork(choice)
  const [size, , channels] = network.input.shape
  const teacher: Teacher | undefined = isTaught
    ? { network, weights: trainedWeights(network, 77), temperature: 3, weight: 0.5 }
    : undefined
  const source = { size, channels: channels as 1 | 3 }
  const weights = trainedWeights(network, 4)
  const request = { engine, network, weights, source, batch: BATCH, options, augment, teacher }
  return { network, definition: trainStep(request) }
}

/** What a run feeds in its update-th step. */
const feedsOf = (
  { network, definition }: ReturnType<typeof definitionOf>,
  update: number,
  { options = trainOptions() }: StepOptions,
  learningRate = 0.02
): Record<string, Feed> => {
  const random = new Random(randomKey(update, 'batch'))
  return {
    images: noiseImages(network, BATCH, update + 1),
    labels: Int32Array.from({ length: BATCH }, () => random.word() % CLASSES),
    rowWeights: new Float32Array(BATCH).fill(1 / BATCH),
    seed: Int32Array.of(update, -7),
    learningRate,
    statisticsMomentum: statisticsMomentum(update),
    ...(options.ema && { emaDecay: emaDecay(options.ema.decay, update) }),
    ...definition.optimizer.feeds(update),
    ...definition.pixels.draw(
      3,
      1,
      Uint32Array.from({ length: BATCH }, (_, i) => i)
    )
  }
}

/** A gradient that is zero but for rounding (a shift that the next batch norm removes) stays small. */
const steadyAdamw = adamwOptions({ epsilon: 1e-3 })

const first = (values: ArrayLike<number> | undefined): number => values?.[0] ?? Number.NaN

const variants: Record<string, StepOptions> = {
  'SGD with Nesterov momentum': { options: trainOptions() },
  'SGD with plain momentum, smoothed labels, augmentation': {
    options: trainOptions({ optimizer: sgdOptions({ nesterov: false }), labelSmoothing: 0.1 }),
    augment
  },
  'AdamW with averaged weights': {
    options: trainOptions({ optimizer: steadyAdamw, ema: { decay: 0.9 } })
  },
  'AdamW with averaged weights, a teacher and augmentation': {
    options: trainOptions({ optimizer: steadyAdamw, ema: { decay: 0.9 } }),
    isTaught: true,
    augment
  }
}

for (const [name, choice] of Object.entries(networks)) {
  describe(`the training step of ${name}`, () => {
    for (const [title, options] of Object.entries(variants)) {
      test(`compiled and eager agree step by step: ${title}`, () => {
        const made = definitionOf(choice, options)
        const steps = both(made.definition)
        for (let update = 0; update < 4; update++) {
          const feeds = feedsOf(made, update, options)
          const [compiled, eager] = steps.map((step) => step.run(feeds))
          assertClose(compiled?.loss ?? [], eager?.loss ?? [], 1e-4, `loss ${update}`)
          assert.equal(first(compiled?.accuracy), first(eager?.accuracy))
          compareVariables(steps, update)
        }
        for (const step of steps) step.dispose()
      })
    }

    test('compiled and eager have the same gradients, and they are those of the loss', () => {
      const plain = { momentum: 0, nesterov: false, weightDecay: 0 }
      const options = { options: trainOptions({ optimizer: sgdOptions(plain) }) }
      const made = definitionOf(choice, options)
      const steps = both(made.definition)
      const start = steps[0].read()
      const isWeight = (name: string) => name.startsWith('weights/')
      const before = new Map([...start].filter(([name]) => isWeight(name)))
      for (const step of steps) step.run(feedsOf(made, 0, options, 0))
      // Without momentum the slot is the gradient, and at rate 0 the weights stay.
      const [gradients, expected] = steps.map((step) => gradientsOf(step))
      assert.ok(gradients && expected && gradients.size > 5)
      let square = 0
      for (const [name, gradient] of gradients) {
        assertClose(gradient, expected.get(name) ?? [], 1e-4, name)
        square += gradient.reduce((sum, slope) => sum + slope * slope, 0)
      }
      assert.ok(square > 1e-4)
      const lossAt = (distance: number): number => {
        const moved = [...before].map(([name, values]): [string, Float32Array] => {
          const slope = gradients.get(name)
          return [name, values.map((value, i) => value + distance * (slope?.[i] ?? 0))]
        })
        steps[0].write(new Map(moved))
        return first(steps[0].run(feedsOf(made, 0, options, 0)).loss)
      }
      const h = 2e-3 / Math.sqrt(square)
      const slope = (lossAt(h) - lossAt(-h)) / (2 * h)
      assert.ok(Math.abs(slope / square - 1) < 0.03, `${slope} along a gradient of ${square}`)
      for (const step of steps) step.dispose()
    })
  })
}

function both({ program }: TrainStep): [Step, Step] {
  return [engine.compile(program), eagerStep(engine.tf, program)]
}

function compareVariables([compiled, eager]: readonly [Step, Step], update: number): void {
  const expected = eager.read()
  for (const [name, values] of compiled.read()) {
    assertClose(values, expected.get(name) ?? [], 2e-4, `${name} after step ${update}`)
  }
}

function gradientsOf(step: Step): Map<string, Float32Array> {
  const slots = [...step.read()].filter(([name]) => name.startsWith('slots/'))
  const nameOf = (slot: string) => `weights/${slot.slice('slots/'.length, -'/momentum'.length)}`
  return new Map(slots.map(([name, values]) => [nameOf(name), values]))
}

test('rows of weight zero have no say: a filled batch has the gradient of the short one', () => {
  // Without batch norm, whose statistics are rightly those of the whole batch.
  const { network } = definitionOf(networks['simple-cnn'] ?? {}, {})
  const without = withoutNorms(network)
  const options = trainOptions({ optimizer: sgdOptions({ momentum: 0, weightDecay: 0 }) })
  const weights = trainedWeights(without, 9)
  const [size, , channels] = without.input.shape
  const source = { size, channels: channels as 1 | 3 }
  const [full, short] = [5, 3]
  const random = new Random(randomKey(1, 'labels'))
  const pixels = noiseImages(without, full)
  const labels = Int32Array.from({ length: full }, () => random.word() % CLASSES)
  const [filled, alone] = [full, short].map((batch) => {
    const request = { engine, network: without, weights, source, batch, options, augment: [] }
    const { program } = trainStep(request)
    const step = engine.compile(program)
    const { loss } = step.run({
      images: pixels.subarray(0, (pixels.length / full) * batch),
      labels: labels.subarray(0, batch),
      rowWeights: Float32Array.from({ length: batch }, (_, i) => (i < short ? 1 / short : 0)),
      seed: Int32Array.of(1, 2),
      learningRate: 0.1,
      statisticsMomentum: 0
    })
    const gradients = gradientsOf(step)
    step.dispose()
    return { loss, gradients }
  })
  assert.ok(filled && alone)
  assertClose(filled.loss ?? [], alone.loss ?? [], 1e-6)
  for (const [name, gradient] of alone.gradients) {
    assertClose(filled.gradients.get(name) ?? [], gradient, 1e-6, name)
    assert.ok(
      gradient.some((slope) => slope !== 0),
      name
    )
  }
})

/** The same graph with batch norm and dropout taken out. */
function withoutNorms(network: ReturnType<typeof builtNetwork>): ReturnType<typeof builtNetwork> {
  const removed = new Map(
    network.nodes
      .filter(({ op }) => op === 'batchNorm' || op === 'dropout')
      .map(({ id, inputs }) => [id, inputs[0] as string])
  )
  const kept = network.nodes.filter(({ id }) => !removed.has(id))
  const nodes = kept.map((node) => ({
    ...node,
    inputs: node.inputs.map((id) => removed.get(id) ?? id)
  }))
  return { ...network, nodes }
}
