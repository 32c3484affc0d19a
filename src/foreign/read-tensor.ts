/** TensorProto: whatever way its values were written in, they become little-endian bytes in a row. */
import { foreignLimits } from './limits.ts'
import type { Message } from './protobuf-reader.ts'
import { damaged, excessive, shown, unsupported } from './refusals.ts'

export interface ForeignTensor {
  readonly name: string
  readonly dims: readonly number[]
  /** Number of the element type in onnx.proto3. */
  readonly type: number
  /** Little-endian, exactly as many as dims say. */
  readonly data: Uint8Array
}

export const FLOAT32 = 1
export const UINT8 = 2

/** `field` holds the values of a tensor that has no `raw_data`. */
interface ElementType {
  readonly bytes: 1 | 2 | 4 | 8
  readonly field: number
  /** Whether its numbers are learnt, and not shapes, axes or indices. */
  readonly isWeight: boolean
}

const [floats, int32s, int64s, doubles, uint64s] = [4, 5, 7, 10, 11]

/** onnx.proto3, TensorProto.DataType: no texts, no complex numbers, none of fewer than eight bits. */
const elementTypes: Readonly<Record<number, ElementType>> = {
  [FLOAT32]: { bytes: 4, field: floats, isWeight: true },
  [UINT8]: { bytes: 1, field: int32s, isWeight: true },
  3: { bytes: 1, field: int32s, isWeight: true },
  4: { bytes: 2, field: int32s, isWeight: false },
  5: { bytes: 2, field: int32s, isWeight: false },
  6: { bytes: 4, field: int32s, isWeight: false },
  7: { bytes: 8, field: int64s, isWeight: false },
  9: { bytes: 1, field: int32s, isWeight: false },
  10: { bytes: 2, field: int32s, isWeight: true },
  11: { bytes: 8, field: doubles, isWeight: true },
  12: { bytes: 4, field: uint64s, isWeight: false },
  13: { bytes: 8, field: uint64s, isWeight: false }
}

/** Elements of a tensor of weights; 0 of any other. */
export const weightsOf = ({ type, dims }: ForeignTensor): number =>
  elementTypes[type]?.isWeight ? dims.reduce((product, dim) => product * dim, 1) : 0

/** @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT */
export function readTensor(message: Message): ForeignTensor {
  const name = message.text(8)
  const type = message.small(2)
  if (message.has(13) || message.small(14) !== 0) {
    throw unsupported(
      `its weights must be in the file; tensor ${shown(name)} has them in another one (data_location EXTERNAL)`
    )
  }
  if (message.has(3)) throw unsupported(`tensor ${shown(name)} is cut into segments`)
  const element = elementTypes[type]
  if (element === undefined) {
    throw unsupported(
      `its tensors must hold numbers or booleans of at least eight bits, received element type ${type} of tensor ${shown(name)}`
    )
  }
  const dims = message.integers(1)
  const elements = countElements(dims, name)
  const data = dataOf(message, { element, elements, type })
  if (data.length !== elements * element.bytes) {
    throw damaged(
      `tensor ${shown(name)} of shape [${dims.join(', ')}] has ${elements * element.bytes} bytes, received ${data.length}`
    )
  }
  return { name, dims: dims.map(Number), type, data }
}

function countElements(dims: readonly bigint[], name: string): number {
  if (dims.length > foreignLimits.dimensions) {
    throw excessive(
      `a tensor may have at most ${foreignLimits.dimensions} dimensions, received ${dims.length} of ${shown(name)}`
    )
  }
  const elements = dims.reduce((product, dim) => {
    if (dim < 0n) throw damaged(`tensor ${shown(name)} has a dimension of ${dim}`)
    return product * dim
  }, 1n)
  if (elements <= BigInt(foreignLimits.fileBytes)) return Number(elements)
  throw excessive(
    `a tensor may have at most ${foreignLimits.fileBytes} elements, received shape [${dims.join(', ')}] of ${shown(name)}`
  )
}

interface Wanted {
  readonly element: ElementType
  readonly elements: number
  readonly type: number
}

function dataOf(message: Message, { element, elements }: Wanted): Uint8Array {
  const { field, bytes } = element
  if (message.has(9)) return message.bytes(9)
  if (field === floats) return message.numbers(field, 'fixed32')
  if (field === doubles) return message.numbers(field, 'fixed64')
  const values = message.integers(field)
  // Nothing is made of the size that a shape claims.
  if (values.length !== elements) return new Uint8Array(values.length * bytes)
  const data = new Uint8Array(elements * bytes)
  const view = new DataView(data.buffer)
  for (const [i, value] of values.entries()) setInteger(view, { at: i * bytes, bytes, value })
  return data
}

function setInteger(
  view: DataView,
  {
    at,
    bytes,
    value
  }: { readonly at: number; readonly bytes: 1 | 2 | 4 | 8; readonly value: bigint }
): void {
  if (bytes === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true)
  else if (bytes === 4) view.setUint32(at, Number(BigInt.asUintN(32, value)), true)
  else if (bytes === 2) view.setUint16(at, Number(BigInt.asUintN(16, value)), true)
  else view.setUint8(at, Number(BigInt.asUintN(8, value)))
}
