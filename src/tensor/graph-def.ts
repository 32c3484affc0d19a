/**
 * Builds a TensorFlow GraphDef node by node and wraps it into a SavedModel without variables.
 *
 * tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto and
 * tensorflow/core/protobuf/{meta_graph,saved_model}.proto give the field numbers.
 */
import { ProtobufWriter } from './protobuf.ts'

/** tensorflow/core/framework/types.proto. */
export const dataTypes = { float32: 1, int32: 3, uint8: 4, int64: 9, bool: 10 } as const
export type GraphDataType = keyof typeof dataTypes

/** An edge: `node` or `node:output`; `^node` is a control edge. */
export type Edge = string

export type GraphAttribute =
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'integer'; readonly value: number | readonly number[] }
  | { readonly kind: 'float'; readonly value: number | readonly number[] }
  | { readonly kind: 'bool'; readonly value: boolean | readonly boolean[] }
  | { readonly kind: 'type'; readonly value: number }
  | { readonly kind: 'shape'; readonly value: readonly number[] }
  | { readonly kind: 'tensor'; readonly value: GraphTensor }

export interface GraphTensor {
  readonly dtype: GraphDataType
  readonly shape: readonly number[]
  readonly data: ArrayBufferView
}

export type GraphAttributes = Readonly<Record<string, GraphAttribute>>

/** Field of AttrValue for one value; the same numbers inside its ListValue. */
const attributeFields = {
  text: 2,
  integer: 3,
  float: 4,
  bool: 5,
  type: 6,
  shape: 7,
  tensor: 8
} as const
const LIST_FIELD = 1

/** Producer version of the file: one that TensorFlow 2.9 and later read with today's meaning. */
const PRODUCER = 1087

export const typeAttribute = (dtype: GraphDataType): GraphAttribute => ({
  kind: 'type',
  value: dataTypes[dtype]
})

export class GraphDef {
  readonly #nodes: ProtobufWriter[] = []

  /** Adds a node and returns its name, which is also the edge of its first output. */
  add(op: string, inputs: readonly Edge[], attributes: GraphAttributes, name?: string): Edge {
    const node = new ProtobufWriter()
    const id = name ?? `${op}_${this.#nodes.length}`
    node.text(1, id).text(2, op)
    for (const input of inputs) {
      node.text(3, input)
    }
    for (const [key, attribute] of Object.entries(attributes)) {
      const entry = new ProtobufWriter().text(1, key).message(2, attributeMessage(attribute))
      node.message(5, entry)
    }
    this.#nodes.push(node)
    return id
  }

  constant(tensor: GraphTensor): Edge {
    return this.add('Const', [], {
      dtype: typeAttribute(tensor.dtype),
      value: { kind: 'tensor', value: tensor }
    })
  }

  placeholder(name: string, dtype: GraphDataType, shape: readonly number[]): Edge {
    const attributes = {
      dtype: typeAttribute(dtype),
      shape: { kind: 'shape', value: shape }
    } as const
    return this.add('Placeholder', [], attributes, name)
  }

  get nodeCount(): number {
    return this.#nodes.length
  }

  /** Bytes of a `saved_model.pb` with this graph under the tag `serve`. */
  savedModel(): Uint8Array {
    const graph = new ProtobufWriter()
    for (const node of this.#nodes) {
      graph.message(1, node)
    }
    graph.message(4, new ProtobufWriter().integer(1, PRODUCER))
    const info = new ProtobufWriter().text(4, 'serve')
    const meta = new ProtobufWriter().message(1, info).message(2, graph)
    return new ProtobufWriter().integer(1, 1).message(2, meta).finish()
  }
}

const attributeMessage = ({ kind, value }: GraphAttribute): ProtobufWriter => {
  const field = attributeFields[kind]
  const message = new ProtobufWriter()
  if (kind === 'shape') {
    return message.message(field, shapeMessage(value))
  }
  if (kind === 'tensor') {
    return message.message(field, tensorMessage(value))
  }
  if (!Array.isArray(value)) {
    return writeValue(message, kind, field, value as number | string | boolean)
  }
  const list = new ProtobufWriter()
  for (const element of value as (number | boolean)[]) {
    writeValue(list, kind, field, element)
  }
  return message.message(LIST_FIELD, list)
}

const writeValue = (
  message: ProtobufWriter,
  kind: 'text' | 'integer' | 'float' | 'bool' | 'type',
  field: number,
  value: number | string | boolean
): ProtobufWriter => {
  if (kind === 'text') {
    return message.text(field, value as string)
  }
  return kind === 'float'
    ? message.float(field, value as number)
    : message.integer(field, value as number | boolean)
}

const shapeMessage = (shape: readonly number[]): ProtobufWriter => {
  const message = new ProtobufWriter()
  for (const size of shape) {
    message.message(2, new ProtobufWriter().integer(1, size))
  }
  return message
}

const tensorMessage = ({ dtype, shape, data }: GraphTensor): ProtobufWriter =>
  new ProtobufWriter()
    .integer(1, dataTypes[dtype])
    .message(2, shapeMessage(shape))
    .bytes(4, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
