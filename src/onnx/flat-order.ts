/**
 * Which flattened images may stay in channel, row, column order in the exported graph.
 *
 * A float graph is channels first, so flattening in our order would cost a transpose per image. Where
 * every reader is a dense layer, at most past element-wise ops, its kernel's rows are permuted instead.
 * A quantized graph does not ask: ONNX Runtime computes it channels last, where our order is free.
 */
import type { Network, Node, Shape } from '../network/graph.ts'
import type { OpName } from '../network/op.ts'

const elementwise: readonly OpName[] = ['relu', 'relu6', 'dropout']

/** [h, w, c] by the id of every flat tensor that runs channels first. */
export const channelsFirstTensors = (
  network: Network,
  shapes: ReadonlyMap<string, Shape>
): ReadonlyMap<string, Shape> => {
  const found = new Map<string, Shape>()
  for (const node of network.nodes.filter(({ op }) => op === 'flatten')) {
    const followers = elementwiseFollowers(network, node)
    const shape = shapes.get(node.inputs[0] as string)
    if (followers && shape) for (const id of followers) found.set(id, shape)
  }
  return found
}

/** The node and what follows it up to dense layers; undefined when anything else reads on the way. */
const elementwiseFollowers = (network: Network, node: Node): readonly string[] | undefined => {
  const ids = [node.id]
  for (const id of ids) {
    for (const reader of network.nodes.filter(({ inputs }) => inputs.includes(id))) {
      if (elementwise.includes(reader.op)) ids.push(reader.id)
      else if (reader.op !== 'dense') return undefined
    }
  }
  return ids
}
