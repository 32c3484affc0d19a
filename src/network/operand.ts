/**
 * Reading what a node was given: inputs, attributes, parameters; every complaint about them.
 *
 * Ops check at the moment of use and all refuse in the same words, so a graph that came over the wire
 * is answered with the node, the reason and the value that was received.
 */
import type { Node, ParamRef, Shape } from './graph.ts'

/** The RangeError of a node: `Cannot use node 'conv1' (conv2d): reason, received value`. */
export const misfit = (node: Node, reason: string, received: unknown): RangeError =>
  new RangeError(
    `Cannot use node '${node.id}' (${node.op}): ${reason}, received ${JSON.stringify(received)}`
  )

/** The input of a node that takes exactly one. @throws RangeError otherwise. */
export const single = <T>(inputs: readonly T[], node: Node): T => {
  const [only] = inputs
  if (only === undefined || inputs.length !== 1) {
    throw misfit(node, 'it takes one input', inputs.length)
  }
  return only
}

/** The inputs of a node that takes exactly two. @throws RangeError otherwise. */
export const pair = <T>(inputs: readonly T[], node: Node): readonly [T, T] => {
  const [a, b] = inputs
  if (a === undefined || b === undefined || inputs.length !== 2) {
    throw misfit(node, 'it takes two inputs', inputs.length)
  }
  return [a, b]
}

/** A shape as [h, w, c]. @throws RangeError when the input is not an image. */
export const imageShape = (shape: Shape, node: Node): readonly [number, number, number] => {
  const [h, w, c] = shape
  if (h === undefined || w === undefined || c === undefined || shape.length !== 3) {
    throw misfit(node, 'its input must be [h, w, c]', shape)
  }
  return [h, w, c]
}

/** A shape as the length of a vector. @throws RangeError when the input is not flat. */
export const vectorLength = (shape: Shape, node: Node): number => {
  const [c] = shape
  if (c === undefined || shape.length !== 1) throw misfit(node, 'its input must be [c]', shape)
  return c
}

/** The last axis, along which channels run. */
export const channelCount = (shape: Shape, node: Node): number => {
  const c = shape.at(-1)
  if (c === undefined) throw misfit(node, 'its input must have channels', shape)
  return c
}

/** A parameter that must be there. @throws RangeError when it is missing. */
export const param = (node: Node, role: string): ParamRef => {
  const ref = Object.hasOwn(node.params, role) ? node.params[role] : undefined
  if (ref === undefined) throw misfit(node, `it needs the parameter ${role}`, roles(node))
  return ref
}

/** A parameter of the rank given. @throws RangeError when it is missing or has another rank. */
export const paramShape = (node: Node, role: string, rank: number): Shape => {
  const { shape } = param(node, role)
  if (shape.length !== rank) throw misfit(node, `${role} must have ${rank} axes`, shape)
  return shape
}

/** The value of a parameter in a forward pass. @throws RangeError when it was not given. */
export const tensorParam = <T>(
  params: Readonly<Record<string, T>>,
  role: string,
  node: Node
): T => {
  const value = params[role]
  if (value === undefined) throw misfit(node, `${role} must be given`, Object.keys(params))
  return value
}

/** @throws RangeError when the parameter is not a vector of `length`. An absent one passes. */
export const checkVector = (node: Node, role: string, length: number): void => {
  if (!Object.hasOwn(node.params, role)) return
  const shape = paramShape(node, role, 1)
  if (shape[0] !== length) throw misfit(node, `${role} must have ${length} values`, shape)
}

/** An integer attribute within bounds. @throws RangeError */
export const integerAttr = (
  node: Node,
  name: string,
  bounds: { readonly min: number; readonly max: number }
): number => {
  const value = node.attrs[name]
  const isFit =
    Number.isInteger(value) && Number(value) >= bounds.min && Number(value) <= bounds.max
  if (!isFit) throw misfit(node, `${name} must be an integer ${bounds.min}..${bounds.max}`, value)
  return Number(value)
}

/** A number attribute, min <= value < below. @throws RangeError */
export const numberAttr = (
  node: Node,
  name: string,
  bounds: { readonly min: number; readonly below: number }
): number => {
  const value = node.attrs[name]
  if (typeof value !== 'number' || !(value >= bounds.min && value < bounds.below)) {
    throw misfit(node, `${name} must be at least ${bounds.min} and below ${bounds.below}`, value)
  }
  return value
}

const roles = (node: Node): readonly string[] => Object.keys(node.params)
