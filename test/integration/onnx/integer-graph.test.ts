/** What ONNX Runtime makes of a quantized file: nothing in it may be left to compute in float. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { InferenceSession } from 'onnxruntime-node'
import type { Network } from '../../../src/network/graph.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { quantize } from '../../../src/quantize/quantize.ts'
import { openSession } from '../../../src/runtime/session.ts'
import { builtNetwork, noiseImages, trainedWeights } from '../../support/networks.ts'
import { countOps, readModel } from '../../support/onnx-reader.ts'

const IMAGES = 8

const cases = [
  { architecture: 'resnet-cifar', inputSize: 32, channels: 3 },
  { architecture: 'simple-cnn', inputSize: 28, channels: 1 },
  { architecture: 'simple-cnn', inputSize: 13, channels: 3 }
] as const

for (const changes of cases) {
  const { architecture, inputSize } = changes
  test(`${architecture}, ${inputSize} pixels: computed in integers throughout`, async () => {
    const network = builtNetwork(changes)
    const bytes = await quantizedFile(network)
    const counts = countOps(readModel(await optimized(bytes)))
    const layers = network.nodes.filter(({ op }) => op === 'conv2d').length
    const integer = (name: string) => (counts[`com.microsoft:${name}`] ?? 0) + (counts[name] ?? 0)
    assert.equal(integer('QLinearConv'), layers, JSON.stringify(counts))
    assert.equal(integer('QGemm'), network.nodes.filter(({ op }) => op === 'dense').length)
    assert.equal(integer('QLinearAdd'), network.nodes.filter(({ op }) => op === 'add').length)
    const float = Object.keys(counts).filter((name) =>
      /^(.*:)?(Conv|FusedConv|Gemm|FusedGemm|MatMul|Add|Relu|GlobalAveragePool|BatchNormalization)$/.test(
        name
      )
    )
    assert.deepEqual(float, [], JSON.stringify(counts))
    assert.ok((counts.Transpose ?? 0) <= 1, `transposes cancel: ${JSON.stringify(counts)}`)
  })
}

const quantizedFile = async (network: Network): Promise<Uint8Array> => {
  const [height, width, channels] = network.input.shape
  const size = height * width * channels
  const pixels = noiseImages(network, IMAGES)
  const source = {
    count: IMAGES,
    size: height,
    channels: channels as 1 | 3,
    labels: new Int32Array(IMAGES),
    read(positions: ArrayLike<number>, into: Uint8Array) {
      for (const [i, position] of Array.from(positions).entries()) {
        into.set(pixels.subarray(position * size, (position + 1) * size), i * size)
      }
    }
  }
  const quantized = await quantize({
    network,
    weights: trainedWeights(network, 2),
    source,
    options: { precision: 'int8', calibration: 'minmax', images: IMAGES },
    seed: 1,
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
  return exportOnnx({ quantized })
}

/** The graph as ONNX Runtime executes it. */
const optimized = async (bytes: Uint8Array): Promise<Uint8Array> => {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-'))
  try {
    const optimizedModelFilePath = join(folder, 'optimized.onnx')
    const options = {
      graphOptimizationLevel: 'all',
      optimizedModelFilePath,
      logSeverityLevel: 4
    } as const
    const session = await InferenceSession.create(bytes, options)
    await session.release()
    return await readFile(optimizedModelFilePath)
  } finally {
    await rm(folder, { recursive: true })
  }
}
