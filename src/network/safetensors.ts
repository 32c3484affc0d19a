/**
 * The safetensors format: named float32 tensors and a few strings in one file, without code in it.
 *
 * https://github.com/huggingface/safetensors: 8 bytes little-endian header length, a JSON header, the
 * values. It carries weights to clients and checkpoints between trainers, so reading trusts nothing: every
 * offset is checked before a byte is touched. Only F32 is known here; other dtypes are refused.
 */
import type { Shape } from './graph.ts'

export interface NamedTensor {
  readonly shape: Shape
  readonly data: Float32Array
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, NamedTensor>
  readonly metadata: Readonly<Record<string, string>>
}

interface HeaderEntry {
  readonly name: string
  readonly shape: Shape
  readonly begin: number
  readonly end: number
}

const LENGTH_BYTES = 8
const ALIGNMENT = 8
const FLOAT_BYTES = 4
/** The limit of the reference implementation. */
const LARGEST_HEADER = 100_000_000
const METADATA = '__metadata__'

/**
 * The file as bytes: a pure function of names, order, values and metadata.
 *
 * @throws RangeError when a tensor's values do not fill its shape, or its name is reserved.
 */
export const writeSafetensors = ({ tensors, metadata }: Safetensors): Uint8Array => {
  const header = encodeHeader(tensors, metadata)
  const start = LENGTH_BYTES + header.length
  const bytes = new Uint8Array(
    start + [...tensors.values()].reduce((n, t) => n + t.data.byteLength, 0)
  )
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true)
  bytes.set(header, LENGTH_BYTES)
  let offset = start
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
    offset += data.byteLength
  }
  return bytes
}

/**
 * Tensors and metadata of a file; the values are copies.
 *
 * @throws RangeError when the file is not exactly one header and the tensors that it describes, end to end.
 */
export const readSafetensors = (bytes: Uint8Array): Safetensors => {
  const { header, start } = decodeHeader(bytes)
  const { [METADATA]: rawMetadata, ...rest } = header
  const entries = Object.entries(rest)
    .map(([name, value]) => readEntry(name, value))
    .sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkCovering(entries, bytes.length - start)
  const tensors = new Map<string, NamedTensor>()
  for (const { name, shape, begin, end } of entries) {
    const data = new Float32Array((end - begin) / FLOAT_BYTES)
    new Uint8Array(data.buffer).set(bytes.subarray(start + begin, start + end))
    tensors.set(name, { shape, data })
  }
  return { tensors, metadata: readMetadata(rawMetadata) }
}

const encodeHeader = (
  tensors: Safetensors['tensors'],
  metadata: Safetensors['metadata']
): Uint8Array => {
  const members: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) members.push([METADATA, metadata])
  let offset = 0
  for (const [name, { shape, data }] of tensors) {
    if (name === METADATA) throw refusal('a tensor may not have the reserved name', name)
    if (size(shape) !== data.length) {
      throw refusal(`'${name}' of shape [${shape}] must have ${size(shape)} values`, data.length)
    }
    const end = offset + data.byteLength
    members.push([name, { dtype: 'F32', shape, data_offsets: [offset, end] }])
    offset = end
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(members)))
  const padded = new Uint8Array(Math.ceil(text.length / ALIGNMENT) * ALIGNMENT).fill(0x20)
  padded.set(text)
  return padded
}

const decodeHeader = (bytes: Uint8Array): { header: Record<string, unknown>; start: number } => {
  if (bytes.length < LENGTH_BYTES) throw refusal('it must have 8 bytes or more', bytes.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getBigUint64(0, true)
  const available = Math.min(bytes.length - LENGTH_BYTES, LARGEST_HEADER)
  if (length > BigInt(available)) throw refusal(`the header must fit ${available} bytes`, length)
  const start = LENGTH_BYTES + Number(length)
  const header = parse(bytes.subarray(LENGTH_BYTES, start))
  if (!isRecord(header)) throw refusal('the header must be a JSON object', typeof header)
  return { header, start }
}

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw refusal('the header must be JSON', cause instanceof Error ? cause.message : cause)
  }
}

const readEntry = (name: string, value: unknown): HeaderEntry => {
  if (!isRecord(value)) throw refusal(`'${name}' must be an object`, typeof value)
  const { dtype, shape, data_offsets: offsets } = value
  if (dtype !== 'F32') throw refusal(`'${name}' must have dtype F32`, dtype)
  if (!isLengths(shape)) throw refusal(`'${name}' must have a shape`, shape)
  if (!isLengths(offsets) || offsets.length !== 2) {
    throw refusal(`'${name}' must have two data_offsets`, offsets)
  }
  const [begin = 0, end = 0] = offsets
  if (end - begin !== size(shape) * FLOAT_BYTES) {
    throw refusal(
      `'${name}' of shape [${shape}] must take ${size(shape) * FLOAT_BYTES} bytes`,
      end - begin
    )
  }
  return { name, shape, begin, end }
}

/** No holes, no overlaps, nothing before or behind: two names never share bytes. */
const checkCovering = (entries: readonly HeaderEntry[], length: number): void => {
  let covered = 0
  for (const { name, begin, end } of entries) {
    if (begin !== covered) throw refusal(`'${name}' must begin at byte ${covered}`, begin)
    covered = end
  }
  if (covered !== length) throw refusal(`the tensors must cover ${length} bytes`, covered)
}

const readMetadata = (value: unknown): Record<string, string> => {
  if (value === undefined) return {}
  if (!isRecord(value)) throw refusal(`${METADATA} must be an object`, typeof value)
  return Object.fromEntries(
    Object.entries(value).map(([name, text]) => {
      if (typeof text !== 'string') throw refusal(`${METADATA} '${name}' must be text`, typeof text)
      return [name, text]
    })
  )
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isLengths = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)

const size = (shape: Shape): number => shape.reduce((product, side) => product * side, 1)

const refusal = (reason: string, received: unknown): RangeError =>
  new RangeError(`Cannot use safetensors: ${reason}, received ${String(received)}`)
