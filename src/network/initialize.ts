/**
 * Initial weights, drawn per parameter name: adding or removing a layer changes no other layer's start.
 *
 * He et al., "Delving Deep into Rectifiers", 2015. arXiv:1502.01852 (he-normal: std sqrt(2 / fan in));
 * Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
 * AISTATS 2010 (glorot-uniform: limit sqrt(6 / (fan in + fan out))).
 */
import { Random, randomKey } from '../tensor/random.ts'
import type { Network, ParamRef, Shape, Weights } from './graph.ts'
import type { ParamRole } from './op.ts'
import { misfit } from './operand.ts'
import { ops } from './ops.ts'

/**
 * Fresh weights for every parameter of the network: a pure function of shapes, names and seed.
 *
 * @throws RangeError when a node has a parameter that its op does not know.
 */
export const initialWeights = (network: Network, seed: number): Weights => {
  const weights = new Map<string, Float32Array>()
  for (const node of network.nodes) {
    for (const [role, ref] of Object.entries(node.params)) {
      const definition = ops[node.op].roles[role]
      if (definition === undefined) throw misfit(node, 'it has no such parameter', role)
      weights.set(ref.name, fill(ref, definition.init, node.op === 'depthwiseConv2d', seed))
    }
  }
  return weights
}

const fill = (
  { name, shape }: ParamRef,
  init: ParamRole['init'],
  isDepthwise: boolean,
  seed: number
): Float32Array => {
  const values = new Float32Array(shape.reduce((product, side) => product * side, 1))
  if (init === 'zeros') return values
  if (init === 'ones') return values.fill(1)
  const random = new Random(randomKey(seed, 'weights', name))
  const { fanIn, fanOut } = fans(shape, isDepthwise)
  const deviation = Math.sqrt(2 / fanIn)
  const limit = Math.sqrt(6 / (fanIn + fanOut))
  return init === 'he-normal'
    ? values.map(() => deviation * random.normal())
    : values.map(() => random.between(-limit, limit))
}

/** Terms that are summed into one output, and outputs that one input reaches. */
const fans = (shape: Shape, isDepthwise: boolean): { fanIn: number; fanOut: number } => {
  const field = shape.slice(0, -2).reduce((product, side) => product * side, 1)
  const [inputs = 1, outputs = 1] = shape.slice(-2)
  return { fanIn: isDepthwise ? field : field * inputs, fanOut: field * outputs }
}
