/**
 * ResNet-20 (32 pixels, batch 128) as whittle trains it: images per second of the compiled step.
 *
 * Run by bench/training-step-peers.ts: prints one figure per line that it reads, so that processes take turns.
 * No EMA, smoothing or augmentation here: the peers have none in this comparison.
 *
 *   node bench/peers/resnet-whittle.ts THREADS STEPS
 */
import { createInterface } from 'node:readline'
import { buildNetwork } from '../../src/network/architecture/build.ts'
import { initialWeights } from '../../src/network/initialize.ts'
import { loadEngine } from '../../src/tensor/engine.ts'
import { batchReader, inOrder } from '../../src/train/batches.ts'
import { trainStep } from '../../src/train/train-step.ts'
import { labelledSource } from '../../test/support/labelled-source.ts'
import { sgdOptions, trainOptions } from '../../test/support/train-options.ts'

const [threads = 1, steps = 1] = process.argv.slice(2).map(Number)
const BATCH = 128
const choice = {
  architecture: 'resnet-cifar',
  depth: 20,
  width: 1,
  inputSize: 32,
  channels: 3,
  resize: 'stretch'
} as const

const engine = await loadEngine('tensorflow', { threads })
const network = buildNetwork(choice, { classes: 10, scale: 1 / 64, zeroPoint: 128 })
const source = labelledSource({ count: BATCH, size: 32, channels: 3, classes: 10 })
const { program } = trainStep({
  engine,
  network,
  weights: initialWeights(network, 1),
  source,
  batch: BATCH,
  options: trainOptions({ optimizer: sgdOptions({ weightDecay: 0 }) }),
  augment: []
})
const step = engine.compile(program)
const batch = batchReader(source, BATCH).read(inOrder(BATCH), 0)
const train = () =>
  step.run({
    images: batch.pixels,
    labels: batch.labels,
    rowWeights: batch.weights,
    seed: Int32Array.of(1, 2),
    learningRate: 0.05,
    statisticsMomentum: 0.9
  })
for (let i = 0; i < 2; i++) train()
console.log(`ready TensorFlow ${engine.version}`)
for await (const _ of createInterface({ input: process.stdin })) {
  const started = performance.now()
  for (let i = 0; i < steps; i++) train()
  console.log((BATCH * steps * 1000) / (performance.now() - started))
}
