/**
 * An inference response of the Open Inference Protocol (V2): JSON, followed by the tensors that were asked
 * for as bytes (extension `binary_tensor_data`).
 */
import type { Parameters } from './request.ts'

export interface OutputTensor {
  readonly name: string
  readonly datatype: 'FP32' | 'BYTES'
  readonly shape: readonly number[]
  readonly data: Float32Array | readonly string[]
  /** Whether it follows the JSON. */
  readonly binary: boolean
}

export interface InferResponse {
  readonly model: string
  readonly version: number
  readonly id: string | undefined
  readonly parameters?: Parameters
  readonly outputs: readonly OutputTensor[]
}

export interface WrittenResponse {
  readonly body: Buffer
  /** Bytes of JSON, when tensors follow it; else undefined. */
  readonly jsonLength: number | undefined
}

export function writeInferResponse(response: InferResponse): WrittenResponse {
  const { model, version, id, parameters } = response
  const tails: Buffer[] = []
  const outputs = response.outputs.map(({ name, datatype, shape, data, binary }) => {
    const head = { name, datatype, shape }
    if (!binary) return { ...head, data: Array.from<number | string>(data) }
    const bytes = data instanceof Float32Array ? floats(data) : elements(data)
    tails.push(bytes)
    return { ...head, parameters: { binary_data_size: bytes.length } }
  })
  const json = Buffer.from(
    JSON.stringify({
      model_name: model,
      model_version: String(version),
      ...(id === undefined ? {} : { id }),
      ...(parameters === undefined ? {} : { parameters }),
      outputs
    })
  )
  if (tails.length === 0) return { body: json, jsonLength: undefined }
  return { body: Buffer.concat([json, ...tails]), jsonLength: json.length }
}

/** Little-endian, as every machine that Node runs on has them. */
const floats = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/** Each element is its length as uint32, little-endian, then its bytes. */
function elements(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return [length, bytes]
    })
  )
}
