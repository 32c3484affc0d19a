/**
 * Networks as ONNX files: uint8 NHWC images in, float32 probabilities out, channels first inside.
 *
 * Float from a network and its weights, or quantized (QDQ: uint8 activations, int8 kernels per channel)
 * from a quantization plan. Pixels become real numbers by one DequantizeLinear in both, so a quantized
 * graph reads them without a float step, and float ones compute exactly (x - zeroPoint) * scale.
 */
import type { Network, Node, Shape, Weights } from '../network/graph.ts'
import { ops } from '../network/ops.ts'
import type { QuantizedNetwork } from '../network/quantization.ts'
import { inferShapes } from '../network/shapes.ts'
import { validateNetwork, validateWeights } from '../network/validate.ts'
import { type GraphEmitter, graphEmitter } from './emitter.ts'
import { encodeModel, type OnnxValue } from './model.ts'
import { emitWidthFolded, foldsWidth } from './width-fold.ts'

const INPUT = 'images'
const OUTPUT = 'probabilities'
const BATCH = 'N'

interface CommonOptions {
  /**
   * Ids of nodes whose values are wanted as further outputs, named by id (not the last one's).
   * Images come [N, c, h, w].
   */
  readonly outputs?: readonly string[]
  /** Strings that travel with the file. */
  readonly metadata?: Readonly<Record<string, string>>
}

export type ExportOptions = CommonOptions &
  (
    | { readonly network: Network; readonly weights: Weights; readonly quantized?: undefined }
    /** The plan carries its own network and weights. */
    | { readonly quantized: QuantizedNetwork }
  )

/**
 * The bytes of the ONNX file.
 *
 * @throws RangeError when network and weights do not fit together, the plan names what the network does
 *   not have, or an output is not an inner node.
 */
export const exportOnnx = (options: ExportOptions): Uint8Array => {
  const { network, weights } = options.quantized ?? options
  const { quantized, outputs = [], metadata = {} } = options
  validateNetwork(network)
  validateWeights(network, weights)
  if (quantized) checkPlan(quantized)
  const shapes = inferShapes(network)
  const emitter = graphEmitter({
    network,
    weights,
    quantized,
    shapes,
    reserved: [INPUT, OUTPUT, ...outputs]
  })
  const tensors = emitNodes(network, emitter, quantized)
  return encodeModel({
    name: 'whittle',
    nodes: emitter.nodes,
    initializers: emitter.initializers,
    inputs: [{ name: INPUT, type: 'uint8', dims: [BATCH, ...network.input.shape] }],
    outputs: [
      { name: OUTPUT, type: 'float32', dims: [BATCH, ...shapeOf(shapes, network.output)] },
      ...outputs.map((id) => emitOutput(id, emitter, tensors, shapes))
    ],
    metadata
  })
}

/** Node id → name of its value in the graph. */
const emitNodes = (
  network: Network,
  emitter: GraphEmitter,
  quantized: QuantizedNetwork | undefined
): Map<string, string> => {
  const tensors = new Map<string, string>()
  const isFolded = (node: Node) => quantized !== undefined && foldsWidth(node, quantized)
  if (network.nodes.some((node) => node.inputs.includes(INPUT) && !isFolded(node))) {
    tensors.set(INPUT, emitInput(network, emitter))
  }
  for (const node of network.nodes) {
    const inputs = node.inputs.map((id) => tensors.get(id) as string)
    emitter.begin(node.id)
    const result =
      quantized && isFolded(node)
        ? emitWidthFolded(emitter, node, quantized)
        : ops[node.op].onnx(emitter, inputs, node)
    if (inputs.includes(result)) {
      // An op that does nothing at inference (dropout) hands its input on.
      tensors.set(node.id, result)
      continue
    }
    const quantization = quantized?.activations.get(node.id)
    const value = quantization ? emitter.requantize(result, quantization) : result
    const name = node.id === network.output ? OUTPUT : `${node.id}/value`
    tensors.set(node.id, emitter.rename(value, name))
  }
  return tensors
}

/** Integers are moved, not floats: a transpose of bytes is a quarter of the work. */
const emitInput = ({ input }: Network, emitter: GraphEmitter): string => {
  const [height, width, channels] = input.shape
  emitter.begin('input')
  const image =
    channels === 1
      ? emitter.add('Reshape', [INPUT, emitter.integers([0, 1, height, width])])
      : emitter.add('Transpose', [INPUT], { perm: [0, 3, 1, 2] })
  return emitter.dequantize(image, input)
}

const emitOutput = (
  id: string,
  emitter: GraphEmitter,
  tensors: ReadonlyMap<string, string>,
  shapes: ReadonlyMap<string, Shape>
): OnnxValue => {
  const name = tensors.get(id)
  if (name === undefined || id === INPUT || name === OUTPUT) {
    throw new RangeError(`Cannot export output: it must be an inner node, received '${id}'`)
  }
  const [height, width, channels] = shapeOf(shapes, id)
  const dims = channels === undefined ? [height] : [channels, height, width]
  emitter.begin(id)
  const output = emitter.rename(emitter.add('Identity', [name]), id)
  return { name: output, type: 'float32', dims: [BATCH, ...(dims as number[])] }
}

const checkPlan = ({ network, activations, kernels, biases }: QuantizedNetwork): void => {
  const ids = new Set(network.nodes.map(({ id }) => id))
  const names = new Set(
    network.nodes.flatMap(({ params }) => Object.values(params).map(({ name }) => name))
  )
  const stray =
    [...activations.keys()].find((id) => id !== INPUT && !ids.has(id)) ??
    [...kernels.keys(), ...biases.keys()].find((name) => !names.has(name))
  if (stray !== undefined) {
    throw new RangeError(`Cannot export: the plan names what is not there, received '${stray}'`)
  }
}

const shapeOf = (shapes: ReadonlyMap<string, Shape>, id: string): Shape => {
  const shape = shapes.get(id)
  if (shape === undefined) throw new RangeError(`Cannot export: no tensor '${id}'`)
  return shape
}
