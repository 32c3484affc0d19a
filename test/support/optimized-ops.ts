/** Which ops ONNX Runtime really runs for a model: the graph after all of its optimizations. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'

/** Number of nodes by op type. */
export async function optimizedOps(model: Uint8Array): Promise<Map<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-optimized-'))
  try {
    const file = join(folder, 'optimized.onnx')
    const session = await InferenceSession.create(model, {
      graphOptimizationLevel: 'all',
      optimizedModelFilePath: file,
      logSeverityLevel: 3
    })
    await session.release()
    return countOps(await readFile(file))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** ModelProto.graph = 7, GraphProto.node = 1, NodeProto.op_type = 4. */
function countOps(model: Uint8Array): Map<string, number> {
  const counts = new Map<string, number>()
  for (const graph of fields(model, 7))
    for (const node of fields(graph, 1))
      for (const type of fields(node, 4)) {
        const name = new TextDecoder().decode(type)
        counts.set(name, (counts.get(name) ?? 0) + 1)
      }
  return counts
}

/** The length-delimited fields of a protobuf message that have this number. */
function* fields(message: Uint8Array, wanted: number): Generator<Uint8Array> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const key = varint()
    const kind = key & 7
    if (kind === 0) varint()
    else if (kind === 1) at += 8
    else if (kind === 5) at += 4
    else {
      const length = varint()
      if (key >>> 3 === wanted) yield message.subarray(at, at + length)
      at += length
    }
  }
}
