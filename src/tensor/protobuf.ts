/**
 * Writes protocol buffers: the few wire types that GraphDef and ONNX need, and nothing else.
 *
 * https://protobuf.dev/programming-guides/encoding/. Fields are written in call order; nested messages
 * are other writers. Bytes are collected as parts and joined once.
 */
const VARINT = 0
const LENGTH_DELIMITED = 2
const FIXED32 = 5

const encoder = new TextEncoder()

export class ProtobufWriter {
  readonly #parts: Uint8Array[] = []
  #length = 0

  /** An int32, int64, enum or bool field. Negative numbers take ten bytes, as the format wants. */
  integer(field: number, value: number | bigint | boolean): this {
    this.#tag(field, VARINT)
    this.#varint(BigInt(value))
    return this
  }

  float(field: number, value: number): this {
    this.#tag(field, FIXED32)
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    this.#push(bytes)
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value))
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, LENGTH_DELIMITED)
    this.#varint(BigInt(value.length))
    this.#push(value)
    return this
  }

  message(field: number, value: ProtobufWriter): this {
    this.#tag(field, LENGTH_DELIMITED)
    this.#varint(BigInt(value.#length))
    for (const part of value.#parts) {
      this.#push(part)
    }
    return this
  }

  finish(): Uint8Array {
    const joined = new Uint8Array(this.#length)
    let offset = 0
    for (const part of this.#parts) {
      joined.set(part, offset)
      offset += part.length
    }
    return joined
  }

  #tag(field: number, wireType: number): void {
    this.#varint(BigInt((field << 3) | wireType))
  }

  #varint(value: bigint): void {
    let rest = BigInt.asUintN(64, value)
    const bytes: number[] = []
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    this.#push(Uint8Array.from(bytes))
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#length += bytes.length
  }
}
