/** The servers that are compared: how each is started, and how it is asked what the others are asked. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaryInfer, bytesElement, form, raw, type Sent } from './requests.ts'
import type { Workload } from './workloads.ts'

export interface Server {
  readonly name: string
  /** Python packages; null for ours. */
  readonly packages: readonly string[] | null
  readonly script: string
  /** The request that brings `image`. */
  request(image: Buffer, workload: Workload): Sent
}

const onnxruntime = ['onnxruntime==1.30.0', 'pillow==13.0.0']
const peer = (file: string): string =>
  join(fileURLToPath(new URL('./peers/', import.meta.url)), file)
const octets = 'application/octet-stream'
const body = (image: Buffer) => raw('/predict', octets, image)

/** The one image as the tensor that the model takes, or as an encoded image in an element of BYTES. */
const infer = (path: string, encodedShape: number[]) => (image: Buffer, workload: Workload) => {
  const { size, channels } = workload.model.input
  return workload.form === 'pixels'
    ? binaryInfer(path, {
        name: 'images',
        datatype: 'UINT8',
        shape: [1, size, size, channels],
        data: image
      })
    : binaryInfer(path, {
        name: 'images',
        datatype: 'BYTES',
        shape: encodedShape,
        data: bytesElement(image)
      })
}

export const servers: readonly Server[] = [
  {
    name: 'whittle',
    packages: null,
    script: fileURLToPath(new URL('./whittle-process.ts', import.meta.url)),
    request: (image, workload) =>
      workload.form === 'pixels'
        ? infer('/v2/models/bench/infer', [1])(image, workload)
        : raw('/v1/models/bench/predictions', workload.type, image)
  },
  {
    name: 'FastAPI',
    packages: ['fastapi==0.165.0', 'uvicorn[standard]==0.54.0', ...onnxruntime],
    script: peer('fastapi_server.py'),
    request: body
  },
  {
    name: 'LitServe',
    packages: ['litserve==0.2.19', 'python-multipart', ...onnxruntime],
    script: peer('litserve_server.py'),
    request: (image, { type }) => form('/predict', 'file', type, image)
  },
  {
    name: 'MLServer',
    packages: ['mlserver==1.7.1', 'uvloop==0.21.0', ...onnxruntime],
    script: peer('mlserver_server.py'),
    request: (image) => {
      const data = [image.toString('base64')]
      const input = { name: 'images', datatype: 'BYTES', shape: [1], data }
      const json = Buffer.from(JSON.stringify({ inputs: [input] }))
      return raw('/v2/models/bench/infer', 'application/json', json)
    }
  },
  {
    name: 'BentoML',
    packages: ['bentoml==1.4.40', ...onnxruntime],
    script: peer('bentoml_server.py'),
    request: (image) => form('/predict', 'file', octets, image)
  },
  {
    name: 'Ray Serve',
    packages: ['ray[serve]==2.60.0', ...onnxruntime],
    script: peer('ray_server.py'),
    request: body
  },
  {
    name: 'Triton (Python backend)',
    packages: ['nvidia-pytriton==0.7.0', ...onnxruntime],
    script: peer('triton_server.py'),
    request: infer('/v2/models/bench/infer', [1, 1])
  }
]
