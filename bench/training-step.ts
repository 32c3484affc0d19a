/**
 * The training step of ResNet-20 (32 pixels, batch 128): compiled against eager, and the host's share.
 *
 *   node bench/training-step.ts [threads] [rounds]
 *
 * Both run the same program on the same engine and data, alternating, so that a busy machine slows both;
 * figures are medians over rounds. The host's share is what reading, drawing and feeding a batch add to
 * the bare step.
 */
import type { TrainOptions } from '../src/contract/recipe.ts'
import { buildNetwork } from '../src/network/architecture/build.ts'
import { initialWeights } from '../src/network/initialize.ts'
import { eagerStep } from '../src/tensor/eager-step.ts'
import { loadEngine } from '../src/tensor/engine.ts'
import type { Step } from '../src/tensor/program.ts'
import { batchReader, inOrder } from '../src/train/batches.ts'
import { trainStep } from '../src/train/train-step.ts'
import { labelledSource } from '../test/support/labelled-source.ts'

const [threads = '0', rounds = '5'] = process.argv.slice(2)
const STEPS = 6
const BATCH = 128

const options: TrainOptions = {
  epochs: 1,
  batchSize: BATCH,
  optimizer: { name: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 5e-4 },
  learningRate: 0.05,
  warmupEpochs: 0,
  schedule: 'cosine',
  labelSmoothing: 0.1,
  ema: { decay: 0.999 },
  earlyStopping: null
}
const choice = {
  architecture: 'resnet-cifar',
  depth: 20,
  width: 1,
  inputSize: 32,
  channels: 3,
  resize: 'stretch'
} as const

const engine = await loadEngine('tensorflow', { threads: Number(threads) })
const network = buildNetwork(choice, { classes: 10, scale: 1 / 64, zeroPoint: 128 })
const weights = initialWeights(network, 1)
const source = labelledSource({ count: BATCH * STEPS, size: 32, channels: 3, classes: 10 })
const reader = batchReader(source, BATCH)
const order = inOrder(source.count)
const { program, pixels } = trainStep({
  engine,
  network,
  weights,
  source,
  batch: BATCH,
  options,
  augment: [
    { op: 'rotate', degrees: 10 },
    { op: 'randomCrop', padding: 4 },
    { op: 'brightness', amount: 0.2 }
  ]
})

const prepare = (index: number) => {
  const batch = reader.read(order, index)
  return {
    images: batch.pixels,
    labels: batch.labels,
    rowWeights: batch.weights,
    seed: Int32Array.of(1, index),
    learningRate: 0.05,
    statisticsMomentum: 0.9,
    emaDecay: 0.9,
    ...pixels.draw(1, 1, batch.positions)
  }
}

/** Seconds of a round of steps, and those of them that the host spent on preparing. */
const round = (step: Step) => {
  let host = 0
  const started = performance.now()
  for (let index = 0; index < STEPS; index++) {
    const before = performance.now()
    const feeds = prepare(index)
    host += performance.now() - before
    step.run(feeds)
  }
  return { total: (performance.now() - started) / 1000, host: host / 1000 }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const steps = { compiled: engine.compile(program), eager: eagerStep(engine.tf, program) }
const figures = { compiled: [] as number[], eager: [] as number[], host: [] as number[] }
round(steps.compiled)
round(steps.eager)
for (let i = 0; i < Number(rounds); i++) {
  const compiled = round(steps.compiled)
  figures.compiled.push((BATCH * STEPS) / compiled.total)
  figures.host.push(compiled.host / (compiled.total - compiled.host))
  figures.eager.push((BATCH * STEPS) / round(steps.eager).total)
}
const [compiled, eager] = [median(figures.compiled), median(figures.eager)]
console.log(`engine    ${engine.name} ${engine.version}, ${engine.threads} threads`)
console.log(`compiled  ${compiled.toFixed(0)} images/s`)
console.log(`eager     ${eager.toFixed(0)} images/s, ${(compiled / eager).toFixed(2)} times slower`)
console.log(`host      ${(100 * median(figures.host)).toFixed(1)} % of the bare step`)
