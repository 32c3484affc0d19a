/**
 * Writes a model made elsewhere as one of ours: uint8 `images` [n, side, side, channels] in, float32
 * `probabilities` [n, classes] out. A pure function of what was read of it.
 *
 *   x = (pixel * scale - mean) / std, channels in the order that the model takes
 *
 * Everything is written anew from what was checked, so whoever loads the file reads what was checked.
 * Inner tensors get a prefix that ours do not have; statements about inner shapes, which may hold a batch
 * of one, are left out.
 */
import { encodeNode, encodeTensor, encodeValue, type OnnxNode } from '../onnx/model.ts'
import { ProtobufWriter } from '../tensor/protobuf.ts'
import type { ForeignModel } from './read-model.ts'
import type { ForeignNode } from './read-node.ts'
import type { ForeignTensor } from './read-tensor.ts'
import type { Signature } from './signature.ts'
import { writeForeignNode, writeForeignTensor } from './write-foreign.ts'

export interface Wrapping {
  /** The order of the channels that the model takes. */
  readonly order: 'rgb' | 'bgr'
  /** One number for every channel, or one for each in the model's order; null where the pixels go in as they are. */
  readonly scale: readonly number[] | null
  readonly mean: readonly number[] | null
  readonly std: readonly number[] | null
  /** What the model's output is; logits get a softmax. */
  readonly outputs: 'logits' | 'probabilities'
  readonly classes: number
}

/** Reads as our own files do, with initializers that are no inputs. */
const leastIrVersion = 8
const prefix = 'model/'
const [IMAGES, PROBABILITIES] = ['images', 'probabilities']

export function wrapModel(
  model: ForeignModel,
  signature: Signature,
  wrapping: Wrapping
): Uint8Array {
  const before = inputSteps(signature, wrapping)
  const last: OnnxNode = {
    type: wrapping.outputs === 'logits' ? 'Softmax' : 'Identity',
    inputs: [inner(signature.output)],
    output: PROBABILITIES,
    attributes: wrapping.outputs === 'logits' ? { axis: 1 } : {}
  }
  const graph = new ProtobufWriter()
  for (const { constant: _, ...node } of before) graph.message(1, encodeNode(node))
  for (const node of model.nodes) graph.message(1, writeForeignNode(renamed(node)))
  graph.message(1, encodeNode(last)).text(2, 'whittle')
  for (const { constant } of before) {
    if (constant) graph.message(5, encodeTensor(constant))
  }
  for (const tensor of model.initializers)
    graph.message(5, writeForeignTensor(renamedTensor(tensor)))
  const { size, channels } = signature
  const dims = { images: ['N', size, size, channels], probabilities: ['N', wrapping.classes] }
  graph
    .message(11, encodeValue({ name: IMAGES, type: 'uint8', dims: dims.images }))
    .message(12, encodeValue({ name: PROBABILITIES, type: 'float32', dims: dims.probabilities }))
  return new ProtobufWriter()
    .integer(1, Math.max(leastIrVersion, model.irVersion))
    .text(2, 'whittle')
    .message(7, graph)
    .message(8, new ProtobufWriter().text(1, '').integer(2, model.opset))
    .finish()
}

const inner = (name: string): string => (name === '' ? '' : prefix + name)

const renamed = (node: ForeignNode): ForeignNode => ({
  ...node,
  inputs: node.inputs.map(inner),
  outputs: node.outputs.map(inner)
})

const renamedTensor = (tensor: ForeignTensor): ForeignTensor => ({
  ...tensor,
  name: inner(tensor.name)
})

interface Step extends OnnxNode {
  readonly constant: Parameters<typeof encodeTensor>[0] | undefined
}

type Operation = Pick<OnnxNode, 'type' | 'attributes'> & {
  readonly data?: Float32Array | BigInt64Array
}

/** From `images` to what the model takes, one node after the other. */
function inputSteps({ type, layout, input }: Signature, wrapping: Wrapping): Step[] {
  const { order, scale, mean, std } = wrapping
  const float = (type: string, values: readonly number[]): Operation => ({
    type,
    attributes: {},
    data: Float32Array.from(values)
  })
  const operations: Operation[] = [
    ...(order === 'bgr'
      ? [{ type: 'Gather', attributes: { axis: 3 }, data: BigInt64Array.of(2n, 1n, 0n) }]
      : []),
    ...(type === 'float32' ? [{ type: 'Cast', attributes: { to: 1 } }] : []),
    ...(scale ? [float('Mul', scale)] : []),
    ...(mean ? [float('Sub', mean)] : []),
    ...(std ? [float('Div', std)] : []),
    // [n, h, w, c] -> [n, c, h, w]
    ...(layout === 'nchw' ? [{ type: 'Transpose', attributes: { perm: [0, 3, 1, 2] } }] : [])
  ]
  if (operations.length === 0) operations.push({ type: 'Identity', attributes: {} })
  return operations.map(({ type, attributes, data }, i) => {
    const constant =
      data === undefined ? undefined : { name: `input/${i}/constant`, dims: [data.length], data }
    return {
      type,
      attributes,
      inputs: [i === 0 ? IMAGES : `input/${i - 1}`, ...(constant ? [constant.name] : [])],
      output: i === operations.length - 1 ? inner(input) : `input/${i}`,
      constant
    }
  })
}
