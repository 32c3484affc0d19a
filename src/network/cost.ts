/**
 * What a network costs: multiply-accumulates, parameters and the memory of its activations.
 *
 * Counted as papers do: MACs of convolutions and dense layers for one image; batch norm, pooling,
 * additions and activation functions count nothing. One MAC is two FLOPs.
 */
import type { Network, Node, Shape } from './graph.ts'
import { ops } from './ops.ts'
import { inferShapes, inputShapes } from './shapes.ts'

/** Multiply-accumulates for one image. @throws RangeError when the network does not fit together. */
export const macs = (network: Network): number => {
  const shapes = inferShapes(network)
  return sum(network.nodes.map((node) => ops[node.op].macs(inputShapes(node, shapes), node)))
}

/** Number of trainable values. Running statistics of batch norm are not among them. */
export const parameters = (network: Network): number =>
  sum(network.nodes.map((node) => valuesOf(node, (role) => ops[node.op].roles[role]?.trainable)))

/** Bytes of all parameters as float32, running statistics included: the size of a weights file. */
export const weightBytes = (network: Network): number =>
  4 * sum(network.nodes.map((node) => valuesOf(node, () => true)))

/**
 * Bytes of every node's output for one image as float32: what training keeps for the backward pass.
 *
 * @throws RangeError when the network does not fit together.
 */
export const activationBytes = (network: Network): number =>
  4 * sum([...inferShapes(network).values()].map(size))

const valuesOf = (node: Node, counts: (role: string) => boolean | undefined): number =>
  sum(Object.entries(node.params).map(([role, { shape }]) => (counts(role) ? size(shape) : 0)))

const size = (shape: Shape): number => shape.reduce((product, side) => product * side, 1)

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}
