/** Writes what was read of a node or a tensor again, in one way, whichever it was written in. */
import { ProtobufWriter } from '../tensor/protobuf.ts'
import type { ForeignAttribute, ForeignNode } from './read-node.ts'
import type { ForeignTensor } from './read-tensor.ts'

export function writeForeignNode(node: ForeignNode): ProtobufWriter {
  const writer = new ProtobufWriter()
  for (const input of node.inputs) writer.text(1, input)
  for (const output of node.outputs) writer.text(2, output)
  writer.text(3, node.name).text(4, node.type)
  for (const [name, attribute] of node.attributes) {
    writer.message(5, writeAttribute(name, attribute))
  }
  return writer
}

export function writeForeignTensor({ name, dims, type, data }: ForeignTensor): ProtobufWriter {
  const writer = new ProtobufWriter()
  for (const dim of dims) writer.integer(1, dim)
  return writer.integer(2, type).text(8, name).bytes(9, data)
}

function writeAttribute(name: string, attribute: ForeignAttribute): ProtobufWriter {
  const writer = new ProtobufWriter().text(1, name)
  switch (attribute.kind) {
    case 'float':
      return writer.float(2, attribute.value).integer(20, 1)
    case 'integer':
      return writer.integer(3, attribute.value).integer(20, 2)
    case 'text':
      return writer.text(4, attribute.value).integer(20, 3)
    case 'tensor':
      return writer.message(5, writeForeignTensor(attribute.value)).integer(20, 4)
    case 'floats':
      return writer.bytes(7, attribute.value).integer(20, 6)
    case 'integers':
      for (const value of attribute.value) writer.integer(8, value)
      return writer.integer(20, 7)
  }
}
