/** Models made elsewhere: files of other exporters, and small ones with a single thing that is odd. */
import { readFile } from 'node:fs/promises'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import supertest from 'supertest'
import type { Latency } from '../../src/contract/report.ts'
import { ProtobufWriter } from '../../src/tensor/protobuf.ts'
import type { ApiApp } from './api-app.ts'

type Fixture = 'torch-like' | 'keras-like' | 'batch-of-one' | 'reshape-to-one'

/** Written by test/fixtures/foreign/make.py. */
export const fixture = (name: Fixture): Promise<Buffer> =>
  readFile(new URL(`../fixtures/foreign/${name}.onnx`, import.meta.url))

export const threeLabels = ['cat', 'dog', 'owl']

/** A form that fits the fixture `torch-like`. */
export const torchForm = {
  labels: JSON.stringify(threeLabels),
  outputs: 'logits',
  input: JSON.stringify({ scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] })
}

/** Sends a model, its file first and then the fields; a field that is undefined is left out. */
export function send(
  { app }: Pick<ApiApp, 'app'>,
  file: Uint8Array | null,
  fields: Readonly<Record<string, string | undefined>> = torchForm,
  model = 'animals'
) {
  const request = supertest(app.server).post(`/v1/models/${model}/versions`)
  if (file !== null) void request.attach('file', Buffer.from(file), 'model.onnx')
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) void request.field(name, value)
  }
  return request
}

/** What is measured where a test is about something else. */
const latency: Latency = {
  batch: 1,
  threads: 1,
  medianMs: 1,
  p90Ms: 2,
  runs: 100,
  noisy: false,
  machine: { cpu: 'test', features: [], onnxruntime: '0' }
}

export const measured = async ({
  variants
}: {
  readonly variants: readonly { readonly variant: string }[]
}): Promise<Record<string, Latency>> =>
  Object.fromEntries(variants.map(({ variant }) => [variant, latency]))

/** The output of a file as it is, by ONNX Runtime, for numbers that the test has computed. */
export async function runAsItIs(
  file: Uint8Array,
  input: { readonly data: Float32Array; readonly dims: readonly number[] }
): Promise<Float32Array> {
  const session = await InferenceSession.create(file)
  const [name = ''] = session.inputNames
  const results = await session.run({ [name]: new Tensor('float32', input.data, input.dims) })
  await session.release()
  return Object.values(results)[0]?.data as Float32Array
}

export function softmax(logits: Float32Array): number[] {
  const most = Math.max(...logits)
  const powers = Array.from(logits, (logit) => Math.exp(logit - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

/** Parts of an ONNX file, each to be replaced by a test. */
export interface Odd {
  readonly ir?: number
  readonly opset?: number | null
  /** NodeProtos between `x` and `y`. @default GlobalAveragePool and Flatten */
  readonly nodes?: readonly ProtobufWriter[]
  readonly tensors?: readonly ProtobufWriter[]
  /** Of the input. @default free, 3, 16, 16 */
  readonly dims?: readonly (number | string)[]
  readonly type?: number
  readonly inputs?: readonly string[]
  readonly outputs?: readonly string[]
  readonly outputDims?: readonly (number | string)[]
  /** Fields of ModelProto and GraphProto that come last. */
  readonly more?: (model: ProtobufWriter) => ProtobufWriter
  readonly moreGraph?: (graph: ProtobufWriter) => ProtobufWriter
}

export const node = (
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  more: (node: ProtobufWriter) => ProtobufWriter = (same) => same
): ProtobufWriter => {
  const writer = new ProtobufWriter()
  for (const input of inputs) writer.text(1, input)
  for (const output of outputs) writer.text(2, output)
  return more(writer.text(4, type))
}

const value = (name: string, type: number, dims: readonly (number | string)[]): ProtobufWriter => {
  const shape = new ProtobufWriter()
  for (const dim of dims) {
    const one = new ProtobufWriter()
    shape.message(1, typeof dim === 'number' ? one.integer(1, dim) : one.text(2, dim))
  }
  const tensor = new ProtobufWriter().integer(1, type).message(2, shape)
  return new ProtobufWriter().text(1, name).message(2, new ProtobufWriter().message(1, tensor))
}

/** A model of three classes, the means of the three channels. */
export function oddModel(odd: Odd = {}): Uint8Array {
  const same = (writer: ProtobufWriter) => writer
  const { ir = 8, opset = 17, type = 1, more = same, moreGraph = same } = odd
  const graph = new ProtobufWriter()
  const usual = [node('GlobalAveragePool', ['x'], ['p']), node('Flatten', ['p'], ['y'])]
  for (const one of odd.nodes ?? usual) graph.message(1, one)
  graph.text(2, 'odd')
  for (const tensor of odd.tensors ?? []) graph.message(5, tensor)
  for (const name of odd.inputs ?? ['x'])
    graph.message(11, value(name, type, odd.dims ?? ['n', 3, 16, 16]))
  for (const name of odd.outputs ?? ['y'])
    graph.message(12, value(name, 1, odd.outputDims ?? ['n', 3]))
  const model = new ProtobufWriter().integer(1, ir).message(7, moreGraph(graph))
  if (opset !== null) model.message(8, new ProtobufWriter().text(1, '').integer(2, opset))
  return more(model).finish()
}

/** A TensorProto. `field` holds its bytes: 9 is `raw_data`. */
export function tensor(
  name: string,
  dims: readonly (number | bigint)[],
  data: Uint8Array,
  { type = 1, field = 9 } = {}
): ProtobufWriter {
  const writer = new ProtobufWriter()
  for (const dim of dims) writer.integer(1, dim)
  return writer.integer(2, type).text(8, name).bytes(field, data)
}

/** An int64 tensor, as shapes are. */
export const integers = (name: string, values: readonly number[]): ProtobufWriter =>
  tensor(name, [values.length], new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer), {
    type: 7
  })

/** AttributeProtos. */
export const integer = (name: string, value: number): ProtobufWriter =>
  new ProtobufWriter().text(1, name).integer(3, value).integer(20, 2)

export const integerList = (name: string, values: readonly number[]): ProtobufWriter => {
  const writer = new ProtobufWriter().text(1, name)
  for (const value of values) writer.integer(8, value)
  return writer.integer(20, 7)
}
