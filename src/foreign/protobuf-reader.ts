/**
 * Reads protocol buffers that somebody else wrote: bounded, over the bytes as they lie, nothing trusted.
 *
 * https://protobuf.dev/programming-guides/encoding/. A message is read one level deep; whoever knows its
 * fields opens those inside it, so that no input decides how deep this goes.
 */
import { foreignLimits } from './limits.ts'
import { damaged, excessive } from './refusals.ts'

const [VARINT, FIXED64, LENGTH_DELIMITED, FIXED32] = [0, 1, 2, 5]

interface Field {
  readonly wire: number
  /** Of a varint; else 0. */
  readonly integer: bigint
  /** Of everything else; else empty. */
  readonly bytes: Uint8Array
}

const nothing = new Uint8Array()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** One message: its fields by number, in the order in which they came. */
export class Message {
  readonly #name: string
  readonly #fields: ReadonlyMap<number, readonly Field[]>

  /**
   * @param name of the message, for what is said of a damaged one
   * @throws ServiceError MODEL_INVALID, MODEL_LIMIT
   */
  constructor(bytes: Uint8Array, name: string) {
    this.#name = name
    this.#fields = readFields(bytes, name)
  }

  has(number: number): boolean {
    return this.#fields.has(number)
  }

  /** An int64 field; the last one counts, as the format wants. @default 0 */
  integer(number: number): bigint {
    const field = this.#fields.get(number)?.at(-1)
    if (field === undefined) return 0n
    return BigInt.asIntN(64, this.#checked(number, field, VARINT).integer)
  }

  /** A field of a few known values; what is out of the range of numbers is -1. @default 0 */
  small(number: number): number {
    const value = this.integer(number)
    return value >= 0n && value <= 0x7fffffffn ? Number(value) : -1
  }

  /** A repeated int64 field, packed or not. */
  integers(number: number): bigint[] {
    return this.#all(number).flatMap((field) => {
      if (field.wire === VARINT) return [BigInt.asIntN(64, field.integer)]
      const { bytes } = this.#checked(number, field, LENGTH_DELIMITED)
      return [...varintsOf(bytes, this.#name)]
    })
  }

  /** The bytes of a repeated float or double field, packed or not: little-endian numbers in a row. */
  numbers(number: number, wire: 'fixed32' | 'fixed64'): Uint8Array {
    const single = wire === 'fixed32' ? FIXED32 : FIXED64
    const parts = this.#all(number).map((field) =>
      field.wire === single ? field.bytes : this.#checked(number, field, LENGTH_DELIMITED).bytes
    )
    return parts.length === 1 ? (parts[0] ?? nothing) : Buffer.concat(parts)
  }

  /** A float field. @default 0 */
  float(number: number): number {
    const field = this.#fields.get(number)?.at(-1)
    if (field === undefined) return 0
    const { bytes } = this.#checked(number, field, FIXED32)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true)
  }

  /** A bytes field; the last one counts. @default empty */
  bytes(number: number): Uint8Array {
    const field = this.#fields.get(number)?.at(-1)
    return field === undefined ? nothing : this.#checked(number, field, LENGTH_DELIMITED).bytes
  }

  /** @default '' */
  text(number: number): string {
    return this.#decode(this.bytes(number))
  }

  texts(number: number): string[] {
    return this.#all(number).map((field) =>
      this.#decode(this.#checked(number, field, LENGTH_DELIMITED).bytes)
    )
  }

  /** A message inside this one. Protobuf would merge several; here they are refused. */
  message(number: number, name: string): Message | undefined {
    const found = this.messages(number, name)
    if (found.length > 1) throw damaged(`${this.#name} has ${found.length} of field ${number}`)
    return found[0]
  }

  messages(number: number, name: string): Message[] {
    return this.#all(number).map(
      (field) => new Message(this.#checked(number, field, LENGTH_DELIMITED).bytes, name)
    )
  }

  #all(number: number): readonly Field[] {
    return this.#fields.get(number) ?? []
  }

  #checked(number: number, field: Field, wire: number): Field {
    if (field.wire === wire) return field
    throw damaged(`field ${number} of ${this.#name} has wire type ${field.wire}, not ${wire}`)
  }

  #decode(bytes: Uint8Array): string {
    if (bytes.length > foreignLimits.textBytes) {
      throw excessive(
        `a text may have at most ${foreignLimits.textBytes} bytes, received ${bytes.length} in ${this.#name}`
      )
    }
    try {
      return decoder.decode(bytes)
    } catch {
      throw damaged(`a text of ${this.#name} is no UTF-8`)
    }
  }
}

function readFields(bytes: Uint8Array, name: string): Map<number, Field[]> {
  const fields = new Map<number, Field[]>()
  const cursor = { bytes, at: 0, name }
  for (let count = 0; cursor.at < bytes.length; count += 1) {
    if (count === foreignLimits.fields) {
      throw excessive(`${name} may have at most ${foreignLimits.fields} fields, received more`)
    }
    const tag = varint(cursor)
    const number = Number(tag >> 3n)
    if (number < 1 || number > 0x1fffffff) throw damaged(`${name} has a field numbered ${number}`)
    const field = readField(cursor, Number(tag & 7n))
    const known = fields.get(number)
    if (known === undefined) fields.set(number, [field])
    else known.push(field)
  }
  return fields
}

interface Cursor {
  readonly bytes: Uint8Array
  readonly name: string
  at: number
}

function readField(cursor: Cursor, wire: number): Field {
  if (wire === VARINT) return { wire, integer: varint(cursor), bytes: nothing }
  const left = cursor.bytes.length
  const length = lengthOf(cursor, wire)
  if (length > left - cursor.at) {
    throw damaged(
      `${cursor.name} ends too early: ${length} bytes are announced, received ${left - cursor.at}`
    )
  }
  const bytes = cursor.bytes.subarray(cursor.at, cursor.at + length)
  cursor.at += length
  return { wire, integer: 0n, bytes }
}

function lengthOf(cursor: Cursor, wire: number): number {
  if (wire === LENGTH_DELIMITED) return Number(varint(cursor))
  if (wire === FIXED32) return 4
  if (wire === FIXED64) return 8
  throw damaged(`${cursor.name} has a field of wire type ${wire}`)
}

function varint(cursor: Cursor): bigint {
  const first = cursor.bytes[cursor.at]
  if (first !== undefined && first < 0x80) {
    cursor.at += 1
    return BigInt(first)
  }
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.at]
    if (byte === undefined) throw damaged(`${cursor.name} ends within a number`)
    cursor.at += 1
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw damaged(`${cursor.name} has a number of more than ten bytes`)
}

function* varintsOf(bytes: Uint8Array, name: string): Generator<bigint> {
  const cursor = { bytes, at: 0, name }
  while (cursor.at < bytes.length) yield BigInt.asIntN(64, varint(cursor))
}
