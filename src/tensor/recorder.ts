/**
 * Records every TensorFlow op that a function issues, forward and backward, as nodes of a graph.
 *
 * All kernels of the tensorflow backend go through two methods; while recording they are wrapped: each
 * call runs as usual, so that shapes are real, and appends one node. Values do not matter: a tensor is
 * known by its data, so kernels that return their input (Identity, no-op Cast) need no case, and
 * tfjs-core's own tape does the differentiation.
 */
import type { TensorInfo } from '@tensorflow/tfjs-core'
import {
  dataTypes,
  type Edge,
  type GraphAttribute,
  type GraphAttributes,
  type GraphDataType,
  type GraphDef
} from './graph-def.ts'
import type { NativeAttribute, NativeBackend, NativeBinding } from './native-backend.ts'

/** A larger constant is a mistake: weights or noise that were neither variable nor input. */
const MAX_CONSTANT_BYTES = 1 << 20

/** tfjs-node's stand-in for an int64 scalar: two 32-bit halves instead of a tensor. */
interface Int64Scalar {
  readonly valueArray: Int32Array
}

export class Recorder {
  readonly #backend: NativeBackend
  readonly #graph: GraphDef
  readonly #edges = new WeakMap<object, Edge>()

  constructor(backend: NativeBackend, graph: GraphDef) {
    this.#backend = backend
    this.#graph = graph
  }

  /** From now on `tensor` stands for the value at `edge`. */
  bind(tensor: TensorInfo, edge: Edge): void {
    this.#edges.set(tensor.dataId, edge)
  }

  /**
   * The edge that carries the tensor's value. A tensor that no recorded op made is a constant.
   *
   * @throws RangeError when such a constant is larger than a megabyte.
   */
  edgeOf(tensor: TensorInfo | Int64Scalar): Edge {
    if ('valueArray' in tensor) {
      return this.#graph.constant({ dtype: 'int64', shape: [], data: tensor.valueArray })
    }
    const known = this.#edges.get(tensor.dataId)
    if (known !== undefined) {
      return known
    }
    const edge = this.#constant(tensor)
    this.#edges.set(tensor.dataId, edge)
    return edge
  }

  /** Runs `body` and records all it does. */
  record<T>(body: () => T): T {
    const backend = this.#backend
    const { executeSingleOutput: single, executeMultipleOutputs: multiple } = backend
    backend.executeSingleOutput = (op, attributes, inputs) => {
      const output = single.call(backend, op, attributes, inputs)
      this.#append(op, attributes, inputs, [output])
      return output
    }
    backend.executeMultipleOutputs = (op, attributes, inputs, count) => {
      const outputs = multiple.call(backend, op, attributes, inputs, count)
      this.#append(op, attributes, inputs, outputs)
      return outputs
    }
    try {
      return body()
    } finally {
      backend.executeSingleOutput = single
      backend.executeMultipleOutputs = multiple
    }
  }

  #append(
    op: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly TensorInfo[],
    outputs: readonly TensorInfo[]
  ): void {
    const edges = inputs.map((input) => this.edgeOf(input))
    const node = this.#graph.add(op, edges, graphAttributes(this.#backend.binding, op, attributes))
    for (const [index, output] of outputs.entries()) {
      this.bind(output, index === 0 ? node : `${node}:${index}`)
    }
  }

  #constant({ dataId, dtype, shape }: TensorInfo): Edge {
    if (!(dtype in dataTypes)) {
      throw new TypeError(`Cannot record a constant: dtype is ${dtype}`)
    }
    const values = this.#backend.readSync(dataId)
    if (values.byteLength > MAX_CONSTANT_BYTES) {
      const made = `a tensor [${shape}] that is neither variable nor input`
      throw new RangeError(`Cannot record ${made}: ${values.byteLength} bytes would be frozen`)
    }
    const data = dtype === 'bool' ? Uint8Array.from(values) : values
    return this.#graph.constant({ dtype: dtype as GraphDataType, shape, data })
  }
}

const graphAttributes = (
  binding: NativeBinding,
  op: string,
  attributes: readonly NativeAttribute[]
): GraphAttributes => {
  const kinds: Readonly<Record<number, GraphAttribute['kind']>> = {
    [binding.TF_ATTR_STRING]: 'text',
    [binding.TF_ATTR_INT]: 'integer',
    [binding.TF_ATTR_FLOAT]: 'float',
    [binding.TF_ATTR_BOOL]: 'bool',
    [binding.TF_ATTR_TYPE]: 'type',
    [binding.TF_ATTR_SHAPE]: 'shape'
  }
  const entries = attributes.map(({ name, type, value }) => {
    const kind = kinds[type]
    if (kind === undefined) {
      throw new TypeError(`Cannot record ${op}: attribute ${name} has type ${type}`)
    }
    return [name, { kind, value } as GraphAttribute] as const
  })
  return Object.fromEntries(entries)
}
