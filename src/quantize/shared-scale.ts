/**
 * Which tensors must have one scale: those that an integer kernel moves without computing.
 *
 * Max pooling and flatten pass uint8 values on as they are, and concat copies its inputs side by side. A
 * scale of its own on either side would cost a requantization and keep ONNX Runtime from fusing.
 */
import type { Network, Node } from '../network/graph.ts'

const moving = new Set<string>(['maxPool', 'flatten', 'concat'])

/** Whether the node's output holds values of its inputs and nothing else. */
export function movesData(node: Node): boolean {
  return moving.has(node.op)
}

/**
 * Groups of tensors with one scale, by id of every tensor (`images` too): the id that stands for its
 * group. A concat of raw images keeps its scales apart: those of the images are given.
 */
export function scaleGroups(network: Network): ReadonlyMap<string, string> {
  const parent = new Map<string, string>([['images', 'images']])
  const find = (id: string): string => {
    const up = parent.get(id) ?? id
    return up === id ? id : find(up)
  }
  for (const node of network.nodes) {
    parent.set(node.id, node.id)
    if (!movesData(node)) continue
    const inputs = node.inputs.map(find)
    if (node.op === 'concat' && inputs.includes('images')) continue
    const root = inputs.includes('images') ? 'images' : find(node.inputs[0] ?? node.id)
    for (const id of [...inputs, node.id]) parent.set(id, root)
  }
  return new Map([...parent.keys()].map((id) => [id, find(id)]))
}
