/** Reads what tests look at in an ONNX file: its ops, the types of their operands, its metadata. */

type Field = readonly [number: number, value: Uint8Array | bigint]

export interface ReadNode {
  readonly type: string
  readonly domain: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export interface ReadModel {
  readonly irVersion: number
  readonly opsets: ReadonlyMap<string, number>
  readonly metadata: Readonly<Record<string, string>>
  readonly nodes: readonly ReadNode[]
  /** Name → dims and element type number of onnx.proto3. */
  readonly initializers: ReadonlyMap<
    string,
    { readonly dims: readonly number[]; readonly type: number }
  >
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export const readModel = (bytes: Uint8Array): ReadModel => {
  const model = fields(bytes)
  const graph = fields(message(model, 7))
  return {
    irVersion: integer(model, 1),
    opsets: new Map(
      all(model, 8)
        .map(fields)
        .map((opset) => [text(opset, 1), integer(opset, 2)] as const)
    ),
    metadata: Object.fromEntries(
      all(model, 14)
        .map(fields)
        .map((entry) => [text(entry, 1), text(entry, 2)])
    ),
    nodes: all(graph, 1)
      .map(fields)
      .map((node) => ({
        type: text(node, 4),
        domain: text(node, 7),
        inputs: all(node, 1).map(decode),
        outputs: all(node, 2).map(decode)
      })),
    initializers: new Map(
      all(graph, 5)
        .map(fields)
        .map((tensor) => {
          const dims = tensor
            .filter(([number]) => number === 1)
            .flatMap(([, value]) => packed(value))
          return [text(tensor, 8), { dims, type: integer(tensor, 2) }] as const
        })
    ),
    inputs: all(graph, 11).map((value) => text(fields(value), 1)),
    outputs: all(graph, 12).map((value) => text(fields(value), 1))
  }
}

/** How often every op occurs, `domain:type` outside of the standard domain. */
export const countOps = ({ nodes }: ReadModel): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { type, domain } of nodes) {
    const name = domain === '' || domain === 'ai.onnx' ? type : `${domain}:${type}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

const fields = (bytes: Uint8Array): Field[] => {
  const found: Field[] = []
  let offset = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[offset++]
      if (byte === undefined) throw new RangeError('Cannot read protobuf: it ends too early')
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (offset < bytes.length) {
    const tag = Number(varint())
    const type = tag & 7
    if (type === 0) {
      found.push([tag >> 3, varint()])
      continue
    }
    const length = type === 2 ? Number(varint()) : type === 5 ? 4 : 8
    found.push([tag >> 3, bytes.subarray(offset, offset + length)])
    offset += length
  }
  return found
}

const packed = (value: Uint8Array | bigint): number[] => {
  if (typeof value === 'bigint') return [Number(value)]
  const prefixed = new Uint8Array(value.length * 2)
  let at = 0
  for (const [i, byte] of value.entries()) {
    // Every varint of the packed list becomes a field of its own.
    if (i === 0 || (value[i - 1] as number) < 128) prefixed[at++] = 8
    prefixed[at++] = byte
  }
  return fields(prefixed.subarray(0, at)).map(([, item]) => Number(item))
}

const all = (list: readonly Field[], number: number): Uint8Array[] =>
  list.filter(([n]) => n === number).map(([, value]) => value as Uint8Array)

const message = (list: readonly Field[], number: number): Uint8Array =>
  all(list, number)[0] ?? new Uint8Array()

const integer = (list: readonly Field[], number: number): number =>
  Number(list.find(([n]) => n === number)?.[1] ?? 0)

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const text = (list: readonly Field[], number: number): string => decode(message(list, number))
