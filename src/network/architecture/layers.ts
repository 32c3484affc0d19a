/**
 * The vocabulary of architectures: appends a layer to a list of nodes and returns its id and shape.
 *
 * Parameters are named `<node>/<role>`. A convolution or dense layer that batch norm follows has no bias:
 * batch norm would subtract it again.
 */
import type { Attributes, Network, NetworkInput, Node, ParamRef, Shape } from '../graph.ts'
import type { OpName } from '../op.ts'
import { ops } from '../ops.ts'

/** Keras' default; small enough not to matter, large enough for float32. */
const EPSILON = 1e-3

/** The tensor a layer produced. */
export interface Tap {
  readonly id: string
  readonly shape: Shape
}

/** What every architecture is told about the data. */
export interface InputOptions {
  readonly size: number
  readonly channels: number
  readonly classes: number
  readonly scale: number
  readonly zeroPoint: number
}

export interface Layers {
  readonly images: Tap
  /** Any op with its attributes and parameter shapes. */
  add(id: string, op: OpName, inputs: readonly Tap[], options?: LayerOptions): Tap
  /** Square convolution with batch norm: `<id>`, `<id>-norm`. */
  conv(id: string, from: Tap, options: ConvLayer): Tap
  /** Dense layer with batch norm. */
  dense(id: string, from: Tap, units: number): Tap
  relu(id: string, from: Tap): Tap
  /** Dense layer with bias, then softmax; completes the network. */
  classify(from: Tap, classes: number): Network
}

interface LayerOptions {
  readonly attrs?: Attributes
  readonly shapes?: Readonly<Record<string, Shape>>
}

interface ConvLayer {
  readonly filters: number
  readonly size: number
  readonly stride: number
}

/** Starts a network for square images. */
export const layers = ({ size, channels, scale, zeroPoint }: InputOptions): Layers => {
  const input: NetworkInput = { id: 'images', shape: [size, size, channels], scale, zeroPoint }
  const nodes: Node[] = []

  const add: Layers['add'] = (id, op, inputs, { attrs = {}, shapes = {} } = {}) => {
    const node = { id, op, inputs: inputs.map((tap) => tap.id), attrs, params: refs(id, shapes) }
    nodes.push(node)
    return {
      id,
      shape: ops[op].outputShape(
        inputs.map((tap) => tap.shape),
        node
      )
    }
  }
  const norm = (from: Tap): Tap => {
    const shape = from.shape.slice(-1)
    return add(`${from.id}-norm`, 'batchNorm', [from], {
      attrs: { epsilon: EPSILON },
      shapes: { gamma: shape, beta: shape, mean: shape, variance: shape }
    })
  }

  return {
    images: input,
    add,
    conv: (id, from, { filters, size: side, stride }) =>
      norm(
        add(id, 'conv2d', [from], {
          attrs: { stride, padding: 'same' },
          shapes: { kernel: [side, side, lastAxis(from), filters] }
        })
      ),
    dense: (id, from, units) =>
      norm(add(id, 'dense', [from], { shapes: { kernel: [lastAxis(from), units] } })),
    relu: (id, from) => add(id, 'relu', [from]),
    classify: (from, classes) => {
      const shapes = { kernel: [lastAxis(from), classes], bias: [classes] }
      const logits = add('classifier', 'dense', [from], { shapes })
      const output = add('probabilities', 'softmax', [logits]).id
      return { format: 'whittle-network-1', input, nodes, output }
    }
  }
}

/** A paper's width times the multiplier: a multiple of 8, at least 8, as integer kernels like it. */
export const scaledWidth = (width: number, multiplier: number): number =>
  Math.max(8, Math.round((width * multiplier) / 8) * 8)

const refs = (id: string, shapes: Readonly<Record<string, Shape>>): Record<string, ParamRef> =>
  Object.fromEntries(
    Object.entries(shapes).map(([role, shape]) => [role, { name: `${id}/${role}`, shape }])
  )

const lastAxis = ({ shape }: Tap): number => shape.at(-1) as number
