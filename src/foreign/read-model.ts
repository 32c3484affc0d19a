/**
 * ONNX bytes to what a classifier needs of them, each part checked as it is read.
 *
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 gives the field numbers. What is not named here
 * (documentation, annotations of shapes, hints for devices) is not read, and so not passed on.
 */
import { foreignLimits } from './limits.ts'
import { operators } from './operators.ts'
import { Message } from './protobuf-reader.ts'
import { type ForeignNode, readNode } from './read-node.ts'
import { type ForeignTensor, readTensor } from './read-tensor.ts'
import { damaged, excessive, shown, unsupported } from './refusals.ts'

/** An input or output as the graph declares it. */
export interface ForeignValue {
  readonly name: string
  /** Number of the element type; 0 when it is no tensor. */
  readonly type: number
  /** Null: of any size. Undefined: the graph does not say. */
  readonly dims: readonly (number | null)[] | undefined
}

export interface ForeignModel {
  readonly irVersion: number
  readonly opset: number
  /** What wrote the file, in its own words. */
  readonly producer: string
  readonly nodes: readonly ForeignNode[]
  readonly initializers: readonly ForeignTensor[]
  /** Those that have no value in the file. */
  readonly inputs: readonly ForeignValue[]
  readonly outputs: readonly ForeignValue[]
}

/** IR 3 is of 2017. Those that ONNX Runtime 1.30 runs. */
const irVersions = { least: 3, most: 13 } as const
/** ONNX Runtime promises those from 7 on (docs/Versioning.md). */
const opsets = { least: 7, most: 25 } as const

/** @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT */
export function readForeignModel(bytes: Uint8Array): ForeignModel {
  const model = new Message(bytes, 'ModelProto')
  const irVersion = model.small(1)
  if (irVersion < irVersions.least || irVersion > irVersions.most) {
    throw unsupported(
      `its IR version must be ${irVersions.least} to ${irVersions.most}, received ${irVersion}`
    )
  }
  if (model.has(25)) throw unsupported('it defines functions of its own')
  const graph = model.message(7, 'GraphProto')
  if (graph === undefined) throw damaged('it has no graph')
  if (graph.has(15)) throw unsupported('it has sparse initializers')
  const initializers = graph.messages(5, 'TensorProto').map(readTensor)
  const constants = new Set(initializers.map(({ name }) => name))
  return {
    irVersion,
    opset: opsetOf(model),
    producer: [model.text(2), model.text(3)].filter((text) => text !== '').join(' '),
    nodes: nodesOf(graph),
    initializers,
    inputs: valuesOf(graph, 11).filter(({ name }) => !constants.has(name)),
    outputs: valuesOf(graph, 12)
  }
}

/** Other domains may be declared, as exporters do, but no node may be of one. */
function opsetOf(model: Message): number {
  const standard = model
    .messages(8, 'OperatorSetIdProto')
    .filter((entry) => isStandard(entry.text(1)))
    .map((entry) => entry.small(2))
  const [version = 0] = standard
  if (standard.length !== 1 || version < opsets.least || version > opsets.most) {
    throw unsupported(
      `it must state one version of ai.onnx, ${opsets.least} to ${opsets.most}, received ${standard.join(', ') || 'none'}`
    )
  }
  return version
}

function nodesOf(graph: Message): ForeignNode[] {
  const messages = graph.messages(1, 'NodeProto')
  if (messages.length > foreignLimits.nodes) {
    throw excessive(`it may have at most ${foreignLimits.nodes} nodes, received ${messages.length}`)
  }
  return messages.map((message) => {
    const [type, domain] = [message.text(4), message.text(7)]
    if (!isStandard(domain)) {
      throw unsupported(
        `its operators must be of the domain ai.onnx, received ${shown(type)} of ${shown(domain)}`
      )
    }
    if (!operators.has(type)) {
      throw unsupported(`the operator ${shown(type)} is not among those that are run`)
    }
    return readNode(message)
  })
}

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx'

const valuesOf = (graph: Message, number: number): ForeignValue[] =>
  graph.messages(number, 'ValueInfoProto').map((value) => {
    const tensor = value.message(2, 'TypeProto')?.message(1, 'TypeProto.Tensor')
    const shape = tensor?.message(2, 'TensorShapeProto')
    return {
      name: value.text(1),
      type: tensor?.small(1) ?? 0,
      dims: shape?.messages(1, 'Dimension').map(dimensionOf)
    }
  })

/** Some exporters write 0 or -1 for a size that is free. */
function dimensionOf(dimension: Message): number | null {
  const size = dimension.has(1) ? dimension.integer(1) : 0n
  return size > 0n ? Number(size) : null
}
