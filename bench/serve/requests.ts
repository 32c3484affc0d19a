/** HTTP requests as bytes, for the load generator to send as they are. */
import { writeFile } from 'node:fs/promises'

export interface Sent {
  readonly path: string
  readonly headers: Readonly<Record<string, string | number>>
  readonly body: Uint8Array
}

/** Writes requests one behind the other, each behind its length. */
export async function writeRequests(file: string, requests: readonly Sent[]): Promise<void> {
  const parts = requests.flatMap((request) => {
    const bytes = requestBytes(request)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  await writeFile(file, Buffer.concat(parts))
}

export function requestBytes({ path, headers, body }: Sent): Buffer {
  const lines = Object.entries({ host: 'localhost', ...headers, 'content-length': body.length })
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

export const raw = (path: string, type: string, body: Uint8Array): Sent => ({
  path,
  headers: { 'content-type': type },
  body
})

/** A form with one file named `field`. */
export function form(path: string, field: string, type: string, body: Uint8Array): Sent {
  const boundary = 'whittle-bench'
  const disposition = `content-disposition: form-data; name="${field}"; filename="x"`
  const head = `--${boundary}\r\n${disposition}\r\ncontent-type: ${type}\r\n\r\n`
  return {
    path,
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.concat([Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--\r\n`)])
  }
}

export interface TensorInput {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** An inference with one binary input (Open Inference Protocol, extension binary_tensor_data). */
export function binaryInfer(path: string, { data, ...input }: TensorInput): Sent {
  const json = JSON.stringify({
    inputs: [{ ...input, parameters: { binary_data_size: data.length } }],
    parameters: { binary_data_output: true }
  })
  return {
    path,
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': Buffer.byteLength(json)
    },
    body: Buffer.concat([Buffer.from(json), data])
  }
}

/** The bytes of one element of datatype BYTES: its length before it. */
export function bytesElement(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, bytes])
}
