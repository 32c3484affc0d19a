/**
 * Taking nodes out of a graph: their readers read something earlier instead.
 */
import type { Network, Node } from '../network/graph.ts'

/** Which nodes read a tensor, by its id. The network's output counts as read by nobody. */
export function readersOf(network: Network): ReadonlyMap<string, readonly Node[]> {
  const readers = new Map<string, Node[]>()
  for (const node of network.nodes) {
    for (const id of node.inputs) {
      const list = readers.get(id)
      if (list === undefined) readers.set(id, [node])
      else list.push(node)
    }
  }
  return readers
}

/**
 * Removes the nodes that are keys of `gone`; whoever read them reads the value (through chains of
 * removed nodes) from then on.
 */
export function bypass(network: Network, gone: ReadonlyMap<string, string>): Network {
  const target = (id: string): string => {
    const next = gone.get(id)
    return next === undefined ? id : target(next)
  }
  return {
    ...network,
    nodes: network.nodes
      .filter(({ id }) => !gone.has(id))
      .map((node) => ({ ...node, inputs: node.inputs.map(target) })),
    output: target(network.output)
  }
}

/** Without dropout, which does nothing when a network answers. */
export function withoutDropout(network: Network): Network {
  const dropouts = network.nodes.filter(({ op }) => op === 'dropout')
  return bypass(network, new Map(dropouts.map(({ id, inputs }) => [id, inputs[0] ?? id])))
}
