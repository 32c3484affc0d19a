/** Train a little, quantize, export, run in ONNX Runtime: the int8 file against the float one. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { calibrations, type NetworkChoice, type TrainOptions } from '../../src/contract/recipe.ts'
import { evaluateVariant } from '../../src/evaluate/evaluate-variant.ts'
import type { ImageSource } from '../../src/image/source.ts'
import { buildNetwork } from '../../src/network/architecture/build.ts'
import type { Network, Weights } from '../../src/network/graph.ts'
import { initialWeights } from '../../src/network/initialize.ts'
import type { QuantizedNetwork } from '../../src/network/quantization.ts'
import { exportOnnx } from '../../src/onnx/export.ts'
import { quantize } from '../../src/quantize/quantize.ts'
import { openSession } from '../../src/runtime/session.ts'
import { type Engine, loadEngine } from '../../src/tensor/engine.ts'
import { fit } from '../../src/train/fit.ts'
import { optimizedOps } from '../support/optimized-ops.ts'
import { stripes } from '../support/stripes.ts'

const classes = 6
const options: TrainOptions = {
  epochs: 4,
  batchSize: 64,
  optimizer: { name: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 5e-4 },
  learningRate: 0.05,
  warmupEpochs: 0.5,
  schedule: 'cosine',
  labelSmoothing: 0,
  ema: null,
  earlyStopping: null
}
const choices: Record<string, NetworkChoice> = {
  'simple-cnn on grey images': {
    architecture: 'simple-cnn',
    depth: 8,
    width: 0.5,
    inputSize: 16,
    channels: 1,
    resize: 'stretch'
  },
  'resnet-cifar on colour images': {
    architecture: 'resnet-cifar',
    depth: 8,
    width: 1,
    inputSize: 16,
    channels: 3,
    resize: 'stretch'
  }
}

let engine: Engine
before(async () => {
  engine = await loadEngine('auto', { threads: 1 })
})

for (const [name, choice] of Object.entries(choices)) {
  describe(`int8 ${name}`, () => {
    const images = { size: choice.inputSize, channels: choice.channels, classes }
    const train = stripes({ ...images, count: 768, seed: 1 })
    const test = stripes({ ...images, count: 200, seed: 2 })
    const network = buildNetwork(choice, { classes, scale: 1 / 50, zeroPoint: 128 })
    let weights: Weights
    let float: Uint8Array

    before(async () => {
      const result = await fit({
        engine,
        network,
        weights: initialWeights(network, 5),
        train,
        validation: test,
        options,
        augment: [],
        seed: 5,
        stage: 'train'
      })
      assert.ok(result.kind === 'finished')
      weights = result.weights
      float = exportOnnx({ network, weights })
    })

    for (const calibration of calibrations) {
      it(`answers as the float file does, calibrated by ${calibration}`, async () => {
        const plan = await plannedBy(calibration, { network, weights, train })
        const [a, b] = [
          await answers(float, test),
          await answers(exportOnnx({ quantized: plan }), test)
        ]
        let [agree, difference] = [0, 0]
        for (let i = 0; i < test.count; i++) {
          const [p, q] = [a, b].map((all) => all.subarray(i * classes, (i + 1) * classes))
          assert.ok(p && q)
          if (p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))) agree++
          difference += p.reduce((sum, v, k) => sum + Math.abs(v - (q[k] ?? 0)), 0) / 2
        }
        assert.ok(agree >= 0.97 * test.count, `${agree} of ${test.count} answers agree`)
        assert.ok(difference / test.count < 0.02, `total variation ${difference / test.count}`)
      })
    }

    it('learned something, so that the comparison means something', async () => {
      const session = await openSession(float, { threads: 1 })
      const { accuracy } = await evaluateVariant({ session, source: test, classes })
      await session.release()
      assert.ok(accuracy.value > 0.9, `accuracy ${accuracy.value}`)
    })

    it('computes in integers throughout', async () => {
      const plan = await plannedBy('mse', { network, weights, train })
      const ops = await optimizedOps(exportOnnx({ quantized: plan }))
      const layers = plan.network.nodes.filter(({ op }) => op === 'conv2d' || op === 'dense')
      assert.equal((ops.get('QLinearConv') ?? 0) + (ops.get('QGemm') ?? 0), layers.length)
      const expected = ['QLinearConv', 'QGemm', 'Reshape', 'Flatten', 'Softmax', 'NhwcMaxPool']
      expected.push('QLinearAdd', 'QLinearGlobalAveragePool', 'Transpose')
      assert.deepEqual(
        [...ops.keys()].filter((op) => !expected.includes(op)),
        []
      )
      assert.ok((ops.get('Transpose') ?? 0) <= 1, 'the transposes around kernels cancel')
    })

    it('comes out the same from the same seed', async () => {
      const first = await plannedBy('mse', { network, weights, train })
      const second = await plannedBy('mse', { network, weights, train })
      assert.deepEqual(exportOnnx({ quantized: first }), exportOnnx({ quantized: second }))
    })
  })
}

interface Trained {
  readonly network: Network
  readonly weights: Weights
  readonly train: ImageSource
}

function plannedBy(
  calibration: (typeof calibrations)[number],
  { network, weights, train }: Trained
): Promise<QuantizedNetwork> {
  return quantize({
    network,
    weights,
    source: train,
    seed: 3,
    options: { precision: 'int8', calibration, images: 128 },
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
}

async function answers(file: Uint8Array, source: ImageSource): Promise<Float32Array> {
  const session = await openSession(file, { threads: 1 })
  const pixels = new Uint8Array(source.count * source.size ** 2 * source.channels)
  source.read(
    Array.from({ length: source.count }, (_, i) => i),
    pixels
  )
  const probabilities = (await session.run(pixels, source.count)).get('probabilities')
  await session.release()
  assert.ok(probabilities)
  return probabilities
}
