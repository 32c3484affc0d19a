/** Small networks, weights and images for tests of graphs, exports and forward passes. */
import type { NetworkChoice } from '../../src/contract/recipe.ts'
import { buildNetwork } from '../../src/network/architecture/build.ts'
import type { Attributes, Network, Node, Shape, Weights } from '../../src/network/graph.ts'
import { initialWeights } from '../../src/network/initialize.ts'
import type { OpName } from '../../src/network/op.ts'
import { inferShapes } from '../../src/network/shapes.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'

export const choice: NetworkChoice = {
  architecture: 'resnet-cifar',
  depth: 20,
  width: 1,
  inputSize: 32,
  channels: 3,
  resize: 'stretch'
}

export const inputOptions = { classes: 10, scale: 1 / 64, zeroPoint: 117 }

/** A real architecture, with whatever differs from the resnet-20 above. */
export const builtNetwork = (changes: Partial<NetworkChoice> = {}): Network =>
  buildNetwork({ ...choice, ...changes }, inputOptions)

export interface NodeSketch {
  readonly id: string
  readonly op: OpName
  readonly inputs?: readonly string[]
  readonly attrs?: Attributes
  readonly shapes?: Readonly<Record<string, Shape>>
}

/** A node whose parameters are called `<id>/<role>`. */
export const sketchNode = ({ id, op, inputs = ['images'], attrs = {}, shapes = {} }: NodeSketch) =>
  ({
    id,
    op,
    inputs,
    attrs,
    params: Object.fromEntries(
      Object.entries(shapes).map(([role, shape]) => [role, { name: `${id}/${role}`, shape }])
    )
  }) satisfies Node

/** Completes nodes whose last is an image or a vector by flatten, dense and softmax for 3 classes. */
export const classifierOf = (shape: readonly [number, number, number], nodes: Node[]): Network => {
  const input = { id: 'images' as const, shape, scale: 1 / 64, zeroPoint: 117 }
  const last = nodes.at(-1)?.id ?? 'images'
  const partial: Network = { format: 'whittle-network-1', input, nodes, output: last }
  const sides = inferShapes(partial).get(last) as Shape
  const flat = sides.length === 3
  const size = sides.reduce((product, side) => product * side, 1)
  const from = flat ? 'end-flat' : last
  return {
    ...partial,
    nodes: [
      ...nodes,
      ...(flat ? [sketchNode({ id: from, op: 'flatten', inputs: [last] })] : []),
      sketchNode({
        id: 'end-dense',
        op: 'dense',
        inputs: [from],
        shapes: { kernel: [size, 3], bias: [3] }
      }),
      sketchNode({ id: 'end', op: 'softmax', inputs: ['end-dense'] })
    ],
    output: 'end'
  }
}

/** Initial weights, but with biases and batch norm as training would leave them. */
export const trainedWeights = (network: Network, seed: number): Weights => {
  const weights = new Map(initialWeights(network, seed))
  const ranges: Record<string, readonly [number, number]> = {
    bias: [-0.5, 0.5],
    gamma: [0.5, 1.5],
    beta: [-0.5, 0.5],
    mean: [-0.5, 0.5],
    variance: [0.5, 2]
  }
  for (const [role, { name }] of network.nodes.flatMap(({ params }) => Object.entries(params))) {
    const range = ranges[role]
    const random = new Random(randomKey(seed, name))
    if (range)
      weights.set(
        name,
        (weights.get(name) as Float32Array).map(() => random.between(...range))
      )
  }
  return weights
}

/** uint8 noise, [n, h, w, c]. */
export const noiseImages = ({ input }: Network, n: number, seed = 1): Uint8Array => {
  const random = new Random(randomKey(seed, 'images'))
  const size = input.shape.reduce((product, side) => product * side, n)
  return Uint8Array.from({ length: size }, () => random.word() & 255)
}
