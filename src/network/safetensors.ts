/**
 * The safetensors format: named float32 tensors and a few strings in one file, without code in it.
 *
 * https://github.com/huggingface/safetensors: 8 bytes little-endian header length, a JSON header, the
 * values. It carries weights to clients and checkpoints between trainers, so reading trusts nothing: every
 * offset is checked before a byte is touched. F32 is a tensor here and U8 a file within the file; other
 * dtypes are refused.
 */
import type { Shape } from './graph.ts'

export interface NamedTensor {
  readonly shape: Shape
  readonly data: Float32Array
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, NamedTensor>
  readonly metadata: Readonly<Record<string, string>>
  /** Whole files by name, as one-dimensional U8 tensors behind all others. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

type DataType = keyof typeof valueBytes

interface HeaderEntry {
  readonly name: string
  readonly dtype: DataType
  readonly shape: Shape
  readonly begin: number
  readonly end: number
}

const LENGTH_BYTES = 8
const ALIGNMENT = 8
const valueBytes = { F32: 4, U8: 1 } as const
/** The limit of the reference implementation. */
const LARGEST_HEADER = 100_000_000
const METADATA = '__metadata__'

/**
 * The file as bytes: a pure function of names, order, values and metadata.
 *
 * @throws RangeError when a tensor's values do not fill its shape, or a name is reserved or given twice.
 */
export const writeSafetensors = ({
  tensors,
  metadata,
  files = new Map()
}: Omit<Safetensors, 'files'> & Partial<Pick<Safetensors, 'files'>>): Uint8Array => {
  const members = membersOf(tensors, files)
  const header = encodeHeader(members, metadata)
  const start = LENGTH_BYTES + header.length
  const bytes = new Uint8Array(start + members.reduce((n, { data }) => n + data.byteLength, 0))
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true)
  bytes.set(header, LENGTH_BYTES)
  let offset = start
  for (const { data } of members) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
    offset += data.byteLength
  }
  return bytes
}

/**
 * Tensors, metadata and files of a file; the values are copies.
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
  const files = new Map<string, Uint8Array>()
  for (const { name, dtype, shape, begin, end } of entries) {
    // Not slice(): that of a Buffer is a view.
    const values = new Uint8Array(bytes.subarray(start + begin, start + end))
    if (dtype === 'U8') files.set(name, values)
    else tensors.set(name, { shape, data: new Float32Array(values.buffer) })
  }
  return { tensors, metadata: readMetadata(rawMetadata), files }
}

interface Member {
  readonly name: string
  readonly dtype: DataType
  readonly shape: Shape
  readonly data: Float32Array | Uint8Array
}

const membersOf = (
  tensors: Safetensors['tensors'],
  files: Safetensors['files']
): readonly Member[] => {
  const floats = [...tensors].map(([name, tensor]) => ({ name, dtype: 'F32', ...tensor }) as const)
  const bytes = [...files].map(
    ([name, data]) => ({ name, dtype: 'U8', shape: [data.length], data }) as const
  )
  const twice = bytes.find(({ name }) => tensors.has(name))
  if (twice !== undefined) throw refusal('a file may not have the name of a tensor', twice.name)
  return [...floats, ...bytes]
}

const encodeHeader = (
  members: readonly Member[],
  metadata: Safetensors['metadata']
): Uint8Array => {
  const entries: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) entries.push([METADATA, metadata])
  let offset = 0
  for (const { name, dtype, shape, data } of members) {
    if (name === METADATA) throw refusal('a tensor may not have the reserved name', name)
    if (size(shape) !== data.length) {
      throw refusal(`'${name}' of shape [${shape}] must have ${size(shape)} values`, data.length)
    }
    const end = offset + data.byteLength
    entries.push([name, { dtype, shape, data_offsets: [offset, end] }])
    offset = end
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
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
  if (dtype !== 'F32' && dtype !== 'U8') {
    throw refusal(`'${name}' must have dtype F32 or U8`, dtype)
  }
  if (!isLengths(shape)) throw refusal(`'${name}' must have a shape`, shape)
  if (!isLengths(offsets) || offsets.length !== 2) {
    throw refusal(`'${name}' must have two data_offsets`, offsets)
  }
  const [begin = 0, end = 0] = offsets
  const expected = size(shape) * valueBytes[dtype]
  if (end - begin !== expected) {
    throw refusal(`'${name}' of shape [${shape}] must take ${expected} bytes`, end - begin)
  }
  return { name, dtype, shape, begin, end }
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
