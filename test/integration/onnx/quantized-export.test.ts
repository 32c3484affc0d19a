/**
 * The quantized file against integer arithmetic written out here: to within one unit.
 *
 * Weights have seven bits, so the sums are the same on processors whose 8-bit products saturate.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Node } from '../../../src/network/graph.ts'
import type { ActivationQuantization, QuantizedNetwork } from '../../../src/network/quantization.ts'
import { inferShapes } from '../../../src/network/shapes.ts'
import { windowPads } from '../../../src/network/window.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { openSession } from '../../../src/runtime/session.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import {
  classifierOf,
  type NodeSketch,
  noiseImages,
  sketchNode,
  trainedWeights
} from '../../support/networks.ts'

const COUNT = 2

interface Layer {
  readonly shape: readonly [number, number, number]
  readonly sketch: NodeSketch
}

const convLayer = (
  side: number,
  kernel: number[],
  attrs = {},
  op: NodeSketch['op'] = 'conv2d'
) => ({
  shape: [side, side, kernel[2] as number] as const,
  sketch: {
    id: 'x',
    op,
    attrs: { stride: 1, padding: 'same', ...attrs },
    shapes: {
      kernel,
      bias: [(kernel[3] as number) * (op === 'conv2d' ? 1 : (kernel[2] as number))]
    }
  }
})

const layers: Readonly<Record<string, Layer>> = {
  'conv, one channel, by groups of pixels': convLayer(8, [3, 3, 1, 16]),
  'conv, three channels, by groups of pixels': convLayer(12, [5, 5, 3, 8]),
  'conv, odd side': convLayer(7, [3, 3, 3, 16]),
  'conv, stride 2': convLayer(8, [3, 3, 3, 16], { stride: 2 }),
  'conv, valid': convLayer(8, [3, 3, 4, 8], { padding: 'valid' }),
  'depthwise, stride 2': convLayer(8, [3, 3, 8, 1], { stride: 2 }, 'depthwiseConv2d'),
  'depthwise, multiplier 2': convLayer(8, [3, 3, 3, 2], {}, 'depthwiseConv2d')
}

describe('quantized export', () => {
  for (const [name, { shape, sketch }] of Object.entries(layers)) {
    test(`${name}: as integer arithmetic`, async () => {
      const node = sketchNode(sketch)
      const network = classifierOf(shape, [node])
      const integers = randomIntegers(node)
      const images = noiseImages(network, COUNT)
      const sums = convolve(node, shape, images, network.input.zeroPoint, integers)
      const output = fitting(sums, integers.scales)
      const plan = planOf(network, node, integers, output)
      await compare(plan, images, nchw(sums, inferShapes(network).get('x') as number[]), output)
    })
  }

  test('dense: as integer arithmetic', async () => {
    const shape = [4, 4, 2] as const
    const dense = sketchNode({
      id: 'x',
      op: 'dense',
      inputs: ['flat'],
      shapes: { kernel: [32, 16], bias: [16] }
    })
    const flat = sketchNode({ id: 'flat', op: 'flatten' })
    const network = classifierOf(shape, [flat, dense])
    const integers = randomIntegers(dense)
    const images = noiseImages(network, COUNT)
    const sums = multiply(images, network.input.zeroPoint, integers)
    const output = fitting(sums, integers.scales)
    const plan = planOf(network, dense, integers, output)
    const { scale, zeroPoint } = network.input
    const activations = new Map([...plan.activations, ['flat', { scale, zeroPoint }]])
    await compare({ ...plan, activations }, images, sums, output)
  })

  test('a plan for another network is refused', () => {
    const network = classifierOf([4, 4, 1], [sketchNode({ id: 'x', op: 'relu' })])
    const none = { kernels: new Map(), biases: new Map(), weights: trainedWeights(network, 1) }
    const activations = new Map([['y', { scale: 1, zeroPoint: 0 }]])
    assert.throws(
      () => exportOnnx({ quantized: { network, activations, ...none } }),
      /the plan names what is not there, received 'y'/
    )
  })
})

interface Integers {
  readonly kernel: Int8Array
  readonly bias: Int32Array
  /** Of the kernel, per output channel. */
  readonly scales: Float32Array
}

const INPUT_SCALE = 1 / 64

const randomIntegers = (node: Node): Integers => {
  const random = new Random(randomKey(9, node.op))
  const size = (role: string) => (node.params[role]?.shape ?? []).reduce((a, b) => a * b, 1)
  const draw = (low: number, high: number) => Math.round(random.between(low, high))
  return {
    kernel: Int8Array.from({ length: size('kernel') }, () => draw(-64, 63)),
    bias: Int32Array.from({ length: size('bias') }, () => draw(-9000, 9000)),
    scales: Float32Array.from({ length: size('bias') }, () => random.between(0.001, 0.01))
  }
}

/** [n, h', w', o] sums of integers, biases included; every tap visited one by one. */
const convolve = (
  node: Node,
  [height, width, channels]: readonly [number, number, number],
  images: Uint8Array,
  zero: number,
  { kernel, bias }: Integers
): Int32Array => {
  const [kh = 0, kw = 0, , last = 0] = node.params.kernel?.shape ?? []
  const { stride, padding } = node.attrs as { stride: number; padding: 'same' | 'valid' }
  const [top, left, bottom, right] = windowPads([height, width], {
    size: [kh, kw],
    stride,
    padding
  })
  const rows = Math.floor((height + top + bottom - kh) / stride) + 1
  const columns = Math.floor((width + left + right - kw) / stride) + 1
  const isDepthwise = node.op === 'depthwiseConv2d'
  const outputs = isDepthwise ? channels * last : last
  const sums = new Int32Array(COUNT * rows * columns * outputs)
  for (const [index] of sums.entries()) {
    const o = index % outputs
    const x = Math.floor(index / outputs) % columns
    const y = Math.floor(index / (outputs * columns)) % rows
    const n = Math.floor(index / (outputs * columns * rows))
    let sum = bias[o] as number
    for (let tap = 0; tap < kh * kw * channels; tap++) {
      const i = tap % channels
      const dx = Math.floor(tap / channels) % kw
      const dy = Math.floor(tap / (channels * kw))
      const [row, column] = [y * stride + dy - top, x * stride + dx - left]
      const isInside = row >= 0 && row < height && column >= 0 && column < width
      if (!isInside || (isDepthwise && i !== Math.floor(o / last))) continue
      const pixel = images[((n * height + row) * width + column) * channels + i] as number
      const weight = isDepthwise ? tap * last + (o % last) : tap * last + o
      sum += (pixel - zero) * (kernel[weight] as number)
    }
    sums[index] = sum
  }
  return sums
}

const multiply = (images: Uint8Array, zero: number, { kernel, bias }: Integers): Int32Array => {
  const inputs = images.length / COUNT
  return Int32Array.from({ length: COUNT * bias.length }, (_, index) => {
    const o = index % bias.length
    const row = Math.floor(index / bias.length) * inputs
    let sum = bias[o] as number
    for (let i = 0; i < inputs; i++) {
      sum += ((images[row + i] as number) - zero) * (kernel[i * bias.length + o] as number)
    }
    return sum
  })
}

/** A scale and zero point that cut a little off both ends, so that saturation is seen too. */
const fitting = (sums: Int32Array, scales: Float32Array): ActivationQuantization => {
  const reals = Array.from(sums, (sum, i) => real(sum, i, scales))
  const [low, high] = [0.8 * Math.min(0, ...reals), 0.8 * Math.max(0, ...reals)]
  const scale = Math.fround((high - low) / 255)
  return { scale, zeroPoint: Math.round(-low / scale) }
}

const real = (sum: number, index: number, scales: Float32Array): number =>
  sum * INPUT_SCALE * (scales[index % scales.length] as number)

const planOf = (
  network: QuantizedNetwork['network'],
  node: Node,
  { kernel, bias, scales }: Integers,
  output: ActivationQuantization
): QuantizedNetwork => ({
  network,
  weights: trainedWeights(network, 1),
  activations: new Map([[node.id, output]]),
  kernels: new Map([[`${node.id}/kernel`, { data: kernel, scales }]]),
  biases: new Map([
    [`${node.id}/bias`, { data: bias, scales: scales.map((scale) => scale * INPUT_SCALE) }]
  ])
})

/** What the file gives for `x`, in units of its quantization, against sums in the same order. */
const compare = async (
  quantized: QuantizedNetwork,
  images: Uint8Array,
  sums: Int32Array,
  { scale, zeroPoint }: ActivationQuantization
): Promise<void> => {
  const session = await openSession(exportOnnx({ quantized, outputs: ['x'] }), { threads: 1 })
  const received = (await session.run(images, COUNT)).get('x') as Float32Array
  await session.release()
  const scales = quantized.kernels.get('x/kernel')?.scales as Float32Array
  const positions = sums.length / COUNT / scales.length
  assert.equal(received.length, sums.length)
  let saturated = 0
  for (const [index, sum] of sums.entries()) {
    const channel = Math.floor(index / positions) % scales.length
    const exact = real(sum, channel, scales) / scale + zeroPoint
    const expected = Math.min(255, Math.max(0, Math.round(exact)))
    const actual = (received[index] as number) / scale + zeroPoint
    if (exact < 0 || exact > 255) saturated++
    assert.ok(Math.abs(actual - expected) < 1.001, `[${index}]: ${actual} instead of ${exact}`)
  }
  assert.ok(saturated > 0, 'the case should reach beyond both ends')
}

const nchw = (sums: Int32Array, [h = 1, w = 1, c = 1]: readonly number[]): Int32Array =>
  Int32Array.from(sums, (_, index) => {
    const x = index % w
    const y = Math.floor(index / w) % h
    const channel = Math.floor(index / (w * h)) % c
    const n = Math.floor(index / (w * h * c))
    return sums[((n * h + y) * w + x) * c + channel] as number
  })
