/**
 * Collects the ONNX graph of a network: what ops emit, and around it the quantization of the plan.
 *
 * A quantized graph is written as ONNX Runtime fuses it: every operand comes out of a DequantizeLinear,
 * every result goes into a QuantizeLinear, and one such pair is shared by all readers of a tensor.
 */
import type { Network, Node, ParamRef, Shape, Weights } from '../network/graph.ts'
import type { OnnxEmitter, WeightLayout } from '../network/onnx-form.ts'
import type { ActivationQuantization, QuantizedNetwork } from '../network/quantization.ts'
import type { Initializer, InitializerData, OnnxNode } from './model.ts'
import { transpose } from './transpose.ts'

interface EmitterOptions {
  readonly network: Network
  readonly weights: Weights
  readonly quantized: QuantizedNetwork | undefined
  readonly shapes: ReadonlyMap<string, Shape>
  /** Names of the graph's inputs and outputs: only `rename` gives them. */
  readonly reserved: readonly string[]
}

export interface GraphEmitter extends OnnxEmitter {
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly Initializer[]
  /** Everything emitted from here on is named after `id`. */
  begin(id: string): void
  /** Gives the tensor that was emitted last its final name. */
  rename(from: string, to: string): string
  /** Through QuantizeLinear and DequantizeLinear; returns the name of the result. */
  requantize(name: string, quantization: ActivationQuantization): string
  /** Symmetric integers with one scale per index of the axis (0 unless given), dequantized. */
  integerParam(ref: ParamRef, dims: Shape, values: IntegerValues, axis?: number): string
  /** real = (integer - zeroPoint) * scale. */
  dequantize(name: string, quantization: ActivationQuantization): string
}

interface IntegerValues {
  readonly data: Int8Array | Int32Array
  readonly scales: Float32Array
}

export const graphEmitter = (options: EmitterOptions): GraphEmitter => {
  const { weights, quantized, shapes, reserved } = options
  const nodes: OnnxNode[] = []
  const initializers = new Map<string, Initializer>()
  const names = new Set(reserved)
  let prefix = ''

  const unique = (wanted: string): string => {
    let name = wanted
    for (let n = 2; names.has(name); n++) name = `${wanted}-${n}`
    names.add(name)
    return name
  }
  const add: OnnxEmitter['add'] = (type, inputs, attributes = {}) => {
    const output = unique(`${prefix}/${type}`)
    nodes.push({ type, inputs, output, attributes })
    return output
  }
  const constant = (wanted: string, dims: readonly number[], data: InitializerData): string => {
    const name = unique(wanted)
    initializers.set(name, { name, dims, data })
    return name
  }
  const affine = ({ scale, zeroPoint }: ActivationQuantization): readonly string[] => [
    constant(`${prefix}/scale`, [], Float32Array.of(scale)),
    constant(`${prefix}/zero-point`, [], Uint8Array.of(zeroPoint))
  ]
  const requantize: GraphEmitter['requantize'] = (name, quantization) => {
    const operands = affine(quantization)
    const integers = add('QuantizeLinear', [name, ...operands])
    return add('DequantizeLinear', [integers, ...operands])
  }
  const integerParam: GraphEmitter['integerParam'] = (
    { name },
    dims,
    { data, scales },
    axis = 0
  ) => {
    const expected = dims.reduce((product, side) => product * side, 1)
    if (data.length !== expected || scales.length !== dims[axis]) {
      const received = `${data.length} integers and ${scales.length} scales`
      throw new RangeError(`Cannot export '${name}' of [${dims}]: received ${received}`)
    }
    const zeros = data instanceof Int8Array ? Int8Array : Int32Array
    const operands = [
      constant(name, dims, data),
      constant(`${name}/scale`, [scales.length], scales),
      constant(`${name}/zero-point`, [scales.length], new zeros(scales.length))
    ]
    return add('DequantizeLinear', operands, { axis })
  }

  return {
    nodes,
    get initializers() {
      return [...initializers.values()]
    },
    begin(id) {
      prefix = id
    },
    rename(from, to) {
      const last = nodes.at(-1)
      if (last?.output !== from)
        throw new RangeError(`Cannot rename '${from}': not the last tensor`)
      const output = reserved.includes(to) ? to : unique(to)
      nodes[nodes.length - 1] = { ...last, output }
      return output
    },
    add,
    requantize,
    integerParam,
    dequantize: (name, quantization) => add('DequantizeLinear', [name, ...affine(quantization)]),
    settle(node, name) {
      const quantization = quantized?.activations.get(node.id)
      return quantization ? requantize(name, quantization) : name
    },
    weight(node, role, layout = {}) {
      const ref = paramOf(node, role)
      const dims = layoutDims(ref.shape, layout)
      const kernel = quantized?.kernels.get(ref.name)
      if (kernel) {
        const data = arrange(kernel.data, ref.shape, layout)
        return integerParam(ref, dims, { ...kernel, data }, layout.channelAxis ?? 0)
      }
      const bias = quantized?.biases.get(ref.name)
      if (bias) return integerParam(ref, dims, bias, 0)
      const values = weights.get(ref.name)
      if (values === undefined) throw new RangeError(`Cannot export: no weights for '${ref.name}'`)
      return constant(ref.name, dims, arrange(values, ref.shape, layout))
    },
    integers: (values) =>
      constant(`${prefix}/integers`, [values.length], BigInt64Array.from(values, BigInt)),
    scalar: (value) => constant(`${prefix}/scalar`, [], Float32Array.of(value)),
    shapeOf(id) {
      const shape = shapes.get(id)
      if (shape === undefined) throw new RangeError(`Cannot export: no tensor '${id}'`)
      return shape
    }
  }
}

const paramOf = (node: Node, role: string): ParamRef => {
  const ref = node.params[role]
  if (ref === undefined) throw new RangeError(`Cannot export '${node.id}': it has no ${role}`)
  return ref
}

const arrange = <T extends Float32Array | Int8Array>(
  data: T,
  shape: Shape,
  { permutation }: WeightLayout
): T => (permutation ? transpose(data, shape, permutation) : data)

const layoutDims = (shape: Shape, { permutation, shape: to }: WeightLayout): Shape =>
  to ?? permutation?.map((axis) => shape[axis] as number) ?? shape
