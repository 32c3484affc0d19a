/**
 * Whether a graph is one that can be trained, exported and served.
 *
 * Everything later may rely on it: topological order, unique ids, known ops and parameters, shapes that
 * fit, and a softmax over a vector of classes at the end.
 */
import type { Network, Node, Weights } from './graph.ts'
import { misfit } from './operand.ts'
import { ops } from './ops.ts'
import { inferShapes } from './shapes.ts'

/** @throws RangeError naming the node, the reason and what was received. */
export const validateNetwork = (network: Network): void => {
  checkInput(network)
  inferShapes(network)
  const names = new Set<string>()
  for (const node of network.nodes) checkParams(node, names)
  checkOutput(network)
  checkReaders(network)
}

/**
 * Whether `weights` has exactly the network's parameters, each of its shape's size.
 *
 * @throws RangeError naming the parameter and what was received.
 */
export const validateWeights = (network: Network, weights: Weights): void => {
  const names = new Set<string>()
  for (const { name, shape } of network.nodes.flatMap((node) => Object.values(node.params))) {
    names.add(name)
    const expected = shape.reduce((product, side) => product * side, 1)
    const received = weights.get(name)?.length ?? 'nothing'
    if (received !== expected) {
      throw new RangeError(
        `Cannot use weights: '${name}' must have ${expected} values, received ${received}`
      )
    }
  }
  for (const name of weights.keys()) {
    if (!names.has(name)) {
      throw new RangeError(`Cannot use weights: no node has a parameter, received '${name}'`)
    }
  }
}

const checkInput = ({ input }: Network): void => {
  const refuse = (reason: string, received: unknown): never => {
    throw new RangeError(`Cannot use input: ${reason}, received ${JSON.stringify(received)}`)
  }
  const { shape, scale, zeroPoint } = input
  if (shape.length !== 3 || !shape.every(isLength)) refuse('its shape must be [h, w, c]', shape)
  if (!(Number.isFinite(scale) && scale > 0)) refuse('its scale must be positive', scale)
  if (!Number.isInteger(zeroPoint) || zeroPoint < 0 || zeroPoint > 255) {
    refuse('its zero point must be an integer 0..255', zeroPoint)
  }
}

const checkParams = (node: Node, names: Set<string>): void => {
  const roles = ops[node.op].roles
  for (const [role, { name, shape }] of Object.entries(node.params)) {
    if (!Object.hasOwn(roles, role)) throw misfit(node, 'it has no such parameter', role)
    if (names.has(name)) throw misfit(node, 'parameter names must be unique', name)
    if (!shape.every(isLength)) throw misfit(node, `${role} must have positive axes`, shape)
    names.add(name)
  }
  for (const [role, { optional }] of Object.entries(roles)) {
    if (!optional && !Object.hasOwn(node.params, role)) {
      throw misfit(node, `it needs the parameter ${role}`, Object.keys(node.params))
    }
  }
}

const checkOutput = ({ nodes, output }: Network): void => {
  const node = nodes.find(({ id }) => id === output)
  if (node?.op !== 'softmax') {
    throw new RangeError(
      `Cannot use output '${output}': it must be a softmax node, received ${node?.op ?? 'nothing'}`
    )
  }
}

/** A node that nobody reads is a mistake: its parameters would never get a gradient. */
const checkReaders = ({ nodes, output }: Network): void => {
  const read = new Set([output, ...nodes.flatMap((node) => node.inputs)])
  const unread = nodes.find(({ id }) => !read.has(id))
  if (unread) throw misfit(unread, 'some node must read its output', 'none')
}

const isLength = (side: number): boolean => Number.isSafeInteger(side) && side > 0
