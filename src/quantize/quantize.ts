/**
 * From a trained network to an int8 one: fold, calibrate, choose scales, round weights.
 *
 * Post-training quantization as in Jacob et al., 2017 (arXiv:1712.05877) and Krishnamoorthi, 2018
 * (arXiv:1806.08342): uint8 activations per tensor, symmetric int8 weights per output channel, int32
 * biases. On x64 this is the form that ONNX Runtime computes in integers throughout.
 *
 * The last layer has integer weights and inputs but a float output: ONNX Runtime has a kernel for that,
 * so the logits are not rounded to 256 levels and one node less runs.
 */
import type { QuantizeOptions } from '../contract/recipe.ts'
import type { ImageSource } from '../image/source.ts'
import type { Network, Node, Weights } from '../network/graph.ts'
import type {
  ActivationQuantization,
  BiasQuantization,
  QuantizedNetwork,
  WeightQuantization
} from '../network/quantization.ts'
import { inferShapes } from '../network/shapes.ts'
import { permutation, randomKey } from '../tensor/random.ts'
import { affine, type Range } from './affine.ts'
import { entropy } from './calibrate/entropy.ts'
import type { Histogram } from './calibrate/histogram.ts'
import { minmax } from './calibrate/minmax.ts'
import { mse } from './calibrate/mse.ts'
import { observe, type RunFloat } from './calibrate/observe.ts'
import { percentile } from './calibrate/percentile.ts'
import { foldActivations } from './fold-activations.ts'
import { foldBatchNorm, type WeightedNetwork } from './fold-batch-norm.ts'
import { readersOf, withoutDropout } from './rewire.ts'
import { movesData, scaleGroups } from './shared-scale.ts'
import { quantizeWeights } from './weights.ts'

/** The float network that is calibrated on, and the node ids whose outputs are asked for. */
export interface FloatNetwork extends WeightedNetwork {
  readonly outputs: readonly string[]
}

/** Runs the float network; a `Session` of its ONNX file is one. */
export interface FloatRunner {
  readonly run: RunFloat
  release(): Promise<void>
}

export interface QuantizeArguments extends WeightedNetwork {
  /** Training images, and only those: a split that judges must not calibrate. */
  readonly source: ImageSource
  readonly options: QuantizeOptions
  /** Which images are drawn. */
  readonly seed: number
  /** Exports and opens the float network that it is given (the rooms that can are not this one's). */
  openFloat(float: FloatNetwork): Promise<FloatRunner>
  /** Called before the search of each range, which takes some 30 ms; what it throws ends the work. */
  readonly beforeRange?: () => Promise<void>
}

const calibrators: Readonly<
  Record<QuantizeOptions['calibration'], (histogram: Histogram) => Range>
> = { minmax, percentile, entropy, mse }

/** Activations of one calibration batch, at most. */
const batchBytes = 32 * 2 ** 20

/**
 * Quantizes a trained network after training.
 *
 * @throws RangeError when the source is empty, or weights or activations are not finite.
 */
export async function quantize(args: QuantizeArguments): Promise<QuantizedNetwork> {
  const float = foldBatchNorm({ ...args, network: withoutDropout(args.network) })
  const { network, rangeFrom } = foldActivations(float.network)
  const quantized = network.nodes.filter((node) => isQuantized(node, network))
  const computed = quantized.filter((node) => !movesData(node))
  const observed = new Map(computed.map(({ id }) => [id, rangeFrom.get(id) ?? id]))
  const histograms = await calibrate(args, { ...float, outputs: [...observed.values()] })
  const chooseRange = calibrators[args.options.calibration]
  const ranges = new Map<string, Range>()
  for (const [id, from] of observed) {
    const histogram = histograms.get(from)
    await args.beforeRange?.()
    if (histogram !== undefined) ranges.set(id, chooseRange(histogram))
  }
  const activations = sharedScales(network, quantized, ranges)
  return { network, weights: float.weights, activations, ...integers(network, float, activations) }
}

/** Probabilities and what only the softmax reads stay float. */
function isQuantized(node: Node, network: Network): boolean {
  const readers = readersOf(network).get(node.id) ?? []
  return node.op !== 'softmax' && readers.some(({ op }) => op !== 'softmax')
}

async function calibrate(
  { source, options, seed, openFloat }: QuantizeArguments,
  float: FloatNetwork
): Promise<ReadonlyMap<string, Histogram>> {
  if (source.count === 0) throw new RangeError('Cannot calibrate: there are no training images')
  const drawn = permutation(randomKey(seed, 'calibration'), source.count)
  const runner = await openFloat(float)
  try {
    return await observe({
      runFloat: (images, n) => runner.run(images, n),
      source,
      positions: drawn.subarray(0, options.images).sort(),
      tensors: float.outputs,
      batchSize: batchSize(float)
    })
  } finally {
    await runner.release()
  }
}

function batchSize({ network, outputs }: FloatNetwork): number {
  const shapes = inferShapes(network)
  const values = outputs.reduce(
    (sum, id) => sum + (shapes.get(id) ?? []).reduce((product, side) => product * side, 1),
    0
  )
  return Math.max(1, Math.min(64, Math.floor(batchBytes / (4 * Math.max(1, values)))))
}

/** Quantization by node id; tensors that must share a scale get the union of their ranges. */
function sharedScales(
  network: Network,
  quantized: readonly Node[],
  ranges: ReadonlyMap<string, Range>
): Map<string, ActivationQuantization> {
  const groups = scaleGroups(network)
  const united = new Map<string, Range>()
  for (const [id, { low, high }] of ranges) {
    const group = groups.get(id) ?? id
    const range = united.get(group) ?? { low, high }
    united.set(group, { low: Math.min(low, range.low), high: Math.max(high, range.high) })
  }
  const { scale, zeroPoint } = network.input
  const scales = new Map([...united].map(([group, range]) => [group, affine(range)]))
  scales.set('images', { scale: Math.fround(scale), zeroPoint })
  const activations = new Map<string, ActivationQuantization>()
  for (const { id } of quantized) {
    const quantization = scales.get(groups.get(id) ?? id)
    if (quantization !== undefined) activations.set(id, quantization)
  }
  return activations
}

/** Integer kernels and biases of every layer that reads a quantized tensor. */
function integers(
  network: Network,
  { weights }: { readonly weights: Weights },
  activations: ReadonlyMap<string, ActivationQuantization>
): Pick<QuantizedNetwork, 'kernels' | 'biases'> {
  const kernels = new Map<string, WeightQuantization>()
  const biases = new Map<string, BiasQuantization>()
  for (const { op, inputs, params } of network.nodes) {
    const [input = ''] = inputs
    const inputScale =
      input === 'images' ? Math.fround(network.input.scale) : activations.get(input)?.scale
    const values = weights.get(params.kernel?.name ?? '')
    if (params.kernel === undefined || values === undefined || inputScale === undefined) continue
    const bias = weights.get(params.bias?.name ?? '')
    const channels = params.kernel.shape
      .slice(op === 'depthwiseConv2d' ? -2 : -1)
      .reduce((product, side) => product * side, 1)
    const layer = quantizeWeights(values, { channels, inputScale, bias })
    kernels.set(params.kernel.name, layer.kernel)
    if (params.bias && layer.bias) biases.set(params.bias.name, layer.bias)
  }
  return { kernels, biases }
}
