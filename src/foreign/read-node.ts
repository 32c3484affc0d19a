/** NodeProto and AttributeProto: an operator with what it takes, gives, and is told. */
import type { Message } from './protobuf-reader.ts'
import { type ForeignTensor, readTensor } from './read-tensor.ts'
import { damaged, shown, unsupported } from './refusals.ts'

export type ForeignAttribute =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'tensor'; readonly value: ForeignTensor }
  /** Little-endian, in a row. */
  | { readonly kind: 'floats'; readonly value: Uint8Array }
  | { readonly kind: 'integers'; readonly value: readonly bigint[] }

export interface ForeignNode {
  readonly name: string
  readonly type: string
  /** An empty name stands for an operand that was left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, ForeignAttribute>
}

/** @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT */
export function readNode(message: Message): ForeignNode {
  const type = message.text(4)
  if (message.text(8) !== '') throw unsupported(`operator ${type} is an overload`)
  const attributes = new Map<string, ForeignAttribute>()
  for (const attribute of message.messages(5, 'AttributeProto')) {
    const name = attribute.text(1)
    if (attributes.has(name)) throw damaged(`${type} has attribute ${shown(name)} twice`)
    attributes.set(name, readAttribute(attribute, `${type}.${name}`))
  }
  return {
    name: message.text(3),
    type,
    inputs: message.texts(1),
    outputs: message.texts(2),
    attributes
  }
}

/** AttributeProto.AttributeType. */
const types = { float: 1, integer: 2, text: 3, tensor: 4, floats: 6, integers: 7 } as const

function readAttribute(message: Message, name: string): ForeignAttribute {
  if (message.has(21)) throw unsupported(`attribute ${shown(name)} refers to one of a function`)
  switch (message.small(20)) {
    case types.float:
      return { kind: 'float', value: message.float(2) }
    case types.integer:
      return { kind: 'integer', value: message.integer(3) }
    case types.text:
      return { kind: 'text', value: message.text(4) }
    case types.tensor:
      return { kind: 'tensor', value: tensorOf(message, name) }
    case types.floats:
      return { kind: 'floats', value: message.numbers(7, 'fixed32') }
    case types.integers:
      return { kind: 'integers', value: message.integers(8) }
    default:
      throw unsupported(
        `attributes must be numbers, a text or a tensor, and never a graph, received type ${message.small(20)} of ${shown(name)}`
      )
  }
}

function tensorOf(message: Message, name: string): ForeignTensor {
  const tensor = message.message(5, 'TensorProto')
  if (tensor === undefined) throw damaged(`attribute ${shown(name)} has no tensor`)
  return readTensor(tensor)
}
