/** Shapes of every tensor of a network, without the batch dimension, by node id and `images`. */
import type { Network, Node, Shape } from './graph.ts'
import type { OpDefinition } from './op.ts'
import { misfit } from './operand.ts'
import { ops } from './ops.ts'

/**
 * The shape of `images` and of every node's output.
 *
 * @throws RangeError naming the first node that has an unknown op, reads what no earlier node gives, or
 *   whose inputs, attributes and parameter shapes do not fit together.
 */
export const inferShapes = (network: Network): ReadonlyMap<string, Shape> => {
  const shapes = new Map<string, Shape>([[network.input.id, network.input.shape]])
  for (const node of network.nodes) {
    if (shapes.has(node.id)) throw misfit(node, 'ids must be unique', node.id)
    shapes.set(node.id, opOf(node).outputShape(inputShapes(node, shapes), node))
  }
  return shapes
}

/** The shapes of a node's inputs. @throws RangeError when an input is not known yet. */
export const inputShapes = (node: Node, shapes: ReadonlyMap<string, Shape>): readonly Shape[] =>
  node.inputs.map((id) => {
    const shape = shapes.get(id)
    if (shape === undefined) throw misfit(node, 'an input must be images or an earlier node', id)
    return shape
  })

const opOf = (node: Node): OpDefinition => {
  if (!Object.hasOwn(ops, node.op)) throw misfit(node, 'there is no such op', node.op)
  return ops[node.op]
}
