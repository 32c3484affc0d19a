/**
 * ONNX files from plain objects: the messages of onnx.proto3 that a classifier needs.
 *
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 gives the field numbers. Values go into
 * `raw_data`, little-endian, as typed arrays lie in memory. Nothing here knows networks or layouts.
 */
import type { OnnxAttribute } from '../network/onnx-form.ts'
import { ProtobufWriter } from '../tensor/protobuf.ts'

/** DequantizeLinear per axis needs 13, the rest less; 17 is understood everywhere since 2022. */
const OPSET = 17
const IR_VERSION = 8

export type InitializerData = Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array

export interface Initializer {
  readonly name: string
  /** Empty for a scalar. */
  readonly dims: readonly number[]
  readonly data: InitializerData
}

export interface OnnxNode {
  readonly type: string
  readonly inputs: readonly string[]
  readonly output: string
  readonly attributes: Readonly<Record<string, OnnxAttribute>>
}

/** An input or output of the graph. A dimension given as text is free and called so. */
export interface OnnxValue {
  readonly name: string
  readonly type: 'float32' | 'uint8'
  readonly dims: readonly (number | string)[]
}

export interface OnnxGraph {
  readonly name: string
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly Initializer[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  /** Strings that travel with the file (`metadata_props`). */
  readonly metadata: Readonly<Record<string, string>>
}

const elementTypes = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const
const attributeTypes = { float: 1, integer: 2, text: 3, integers: 7 } as const

/** The bytes of a ModelProto; a pure function of the graph. */
export const encodeModel = (graph: OnnxGraph): Uint8Array => {
  const model = new ProtobufWriter()
    .integer(1, IR_VERSION)
    .text(2, 'whittle')
    .message(7, encodeGraph(graph))
    .message(8, new ProtobufWriter().text(1, '').integer(2, OPSET))
  for (const [key, value] of Object.entries(graph.metadata)) {
    model.message(14, new ProtobufWriter().text(1, key).text(2, value))
  }
  return model.finish()
}

const encodeGraph = ({ name, nodes, initializers, inputs, outputs }: OnnxGraph): ProtobufWriter => {
  const graph = new ProtobufWriter()
  for (const node of nodes) graph.message(1, encodeNode(node))
  graph.text(2, name)
  for (const initializer of initializers) graph.message(5, encodeTensor(initializer))
  for (const value of inputs) graph.message(11, encodeValue(value))
  for (const value of outputs) graph.message(12, encodeValue(value))
  return graph
}

export const encodeNode = ({ type, inputs, output, attributes }: OnnxNode): ProtobufWriter => {
  const node = new ProtobufWriter()
  for (const input of inputs) node.text(1, input)
  node.text(2, output).text(3, output).text(4, type)
  for (const [name, value] of Object.entries(attributes)) {
    node.message(5, encodeAttribute(name, value))
  }
  return node
}

const encodeAttribute = (name: string, value: OnnxAttribute): ProtobufWriter => {
  const attribute = new ProtobufWriter().text(1, name)
  if (typeof value === 'number')
    return attribute.integer(3, value).integer(20, attributeTypes.integer)
  if (typeof value === 'string') return attribute.text(4, value).integer(20, attributeTypes.text)
  if ('float' in value) return attribute.float(2, value.float).integer(20, attributeTypes.float)
  for (const item of value) attribute.integer(8, item)
  return attribute.integer(20, attributeTypes.integers)
}

export const encodeTensor = ({ name, dims, data }: Initializer): ProtobufWriter => {
  const tensor = new ProtobufWriter()
  for (const dim of dims) tensor.integer(1, dim)
  return tensor
    .integer(2, elementType(data))
    .text(8, name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}

export const encodeValue = ({ name, type, dims }: OnnxValue): ProtobufWriter => {
  const shape = new ProtobufWriter()
  for (const dim of dims) {
    const dimension = new ProtobufWriter()
    shape.message(1, typeof dim === 'number' ? dimension.integer(1, dim) : dimension.text(2, dim))
  }
  const tensor = new ProtobufWriter().integer(1, elementTypes[type]).message(2, shape)
  return new ProtobufWriter().text(1, name).message(2, new ProtobufWriter().message(1, tensor))
}

const elementType = (data: InitializerData): number => {
  if (data instanceof Float32Array) return elementTypes.float32
  if (data instanceof Uint8Array) return elementTypes.uint8
  if (data instanceof Int8Array) return elementTypes.int8
  if (data instanceof Int32Array) return elementTypes.int32
  return elementTypes.int64
}
