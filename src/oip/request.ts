/**
 * An inference request of the Open Inference Protocol (V2), read from its body: JSON alone, JSON followed
 * by tensors (extension `binary_tensor_data`), or one tensor alone.
 *
 * Only what every model has in common is checked here; what its tensors must be is `images.ts`.
 * Specification: github.com/kserve/open-inference-protocol, inference_rest.md; Triton's
 * extension_binary_data.md.
 */
import { invalid } from './invalid.ts'

export type Parameters = Readonly<Record<string, string | number | boolean>>

export interface InputTensor {
  readonly name: string
  readonly datatype: string
  /** The batch comes first. */
  readonly shape: readonly number[]
  /** JSON as it came, nested or flat; or little-endian bytes. */
  readonly data: { readonly json: unknown } | { readonly bytes: Uint8Array }
}

export interface RequestedOutput {
  readonly name: string
  /** Whether its tensor follows the JSON of the answer. */
  readonly binary: boolean
  /** How many classes are wanted in place of the tensor (extension `classification`); 0 for none. */
  readonly classification: number
}

export interface InferRequest {
  readonly id: string | undefined
  readonly parameters: Parameters
  /** Or the whole body, where it is one tensor and nothing else. */
  readonly inputs: readonly InputTensor[] | { readonly raw: Uint8Array }
  /** Undefined asks for all outputs. */
  readonly outputs: readonly RequestedOutput[] | undefined
  /** Whether outputs that say nothing else are binary. */
  readonly binaryOutput: boolean
}

const requestLimits = {
  /** Bytes of JSON; beyond, tensors travel as bytes. */
  json: 16 * 1024 * 1024,
  tensors: 16,
  outputs: 64,
  rank: 8,
  id: 256,
  parameters: 64
} as const

/** Objects of a JSON part: far more than the largest request has. Millions of `{}` parse to gigabytes. */
const mostObjects = 1000
const openBrace = 0x7b

/**
 * @param body the body after inflation
 * @param jsonLength what `Inference-Header-Content-Length` says; undefined without that header
 * @throws ServiceError REQUEST_MALFORMED naming what was received
 */
export function readInferRequest(body: Uint8Array, jsonLength: string | undefined): InferRequest {
  const length = jsonBytes(body, jsonLength)
  if (length === 0) return rawRequest(body)
  const members = object(parse(body.subarray(0, length)), 'the request')
  const parameters = readParameters(members.parameters, 'the request')
  const binaryOutput = flag(parameters.binary_data_output, 'binary_data_output') ?? false
  const tail = new Tail(body.subarray(length))
  const inputs = list(members.inputs, 'inputs', requestLimits.tensors).map((one, i) =>
    readInput(object(one, `inputs[${i}]`), tail)
  )
  if (inputs.length === 0) throw invalid('inputs must hold a tensor, received none')
  tail.requireEmpty()
  // Clients of Triton (perf_analyzer among them) send an empty one where they have none.
  const hasId = members.id !== undefined && members.id !== ''
  const id = hasId ? text(members.id, 'id', requestLimits.id) : undefined
  const outputs = readOutputs(members.outputs, binaryOutput)
  return { id, parameters, inputs, outputs, binaryOutput }
}

function jsonBytes(body: Uint8Array, header: string | undefined): number {
  const length = header === undefined ? body.length : Number(header)
  if (header !== undefined && (!/^\d{1,12}$/.test(header) || length > body.length)) {
    throw invalid(
      `Inference-Header-Content-Length must be an integer from 0 to the ${body.length} bytes of the body, received ${header.slice(0, 40)}`
    )
  }
  if (header === undefined && length === 0) throw invalid('the body is empty')
  if (length > requestLimits.json) {
    throw invalid(
      `its JSON may have ${requestLimits.json} bytes, received ${length}; larger tensors are sent as binary data`
    )
  }
  return length
}

const rawRequest = (raw: Uint8Array): InferRequest => ({
  id: undefined,
  parameters: {},
  inputs: { raw },
  outputs: undefined,
  binaryOutput: true
})

function parse(bytes: Uint8Array): unknown {
  let objects = 0
  for (let at = bytes.indexOf(openBrace); at !== -1; at = bytes.indexOf(openBrace, at + 1)) {
    objects += 1
    if (objects > mostObjects) throw invalid(`it may hold ${mostObjects} objects, received more`)
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const reason = error instanceof SyntaxError ? withoutSource(error.message) : 'it is not UTF-8'
    throw invalid(`its ${bytes.length} bytes of JSON cannot be read: ${reason}`)
  }
}

/** V8 quotes what it stumbled over: `Unexpected token 'x', ..."a": x}" is not valid JSON`. */
const withoutSource = (message: string): string =>
  message.replace(/, (?:\.\.\.)?".*$/s, '').slice(0, 200)

function readInput(input: Readonly<Record<string, unknown>>, tail: Tail): InputTensor {
  const name = text(input.name, 'the name of an input', requestLimits.id)
  const what = `input ${name}`
  const datatype = text(input.datatype, `datatype of ${what}`, 16)
  const shape = readShape(input.shape, what)
  const { binary_data_size: size } = readParameters(input.parameters, what)
  if (size === undefined) {
    if (input.data === undefined) throw invalid(`${what} has neither data nor binary_data_size`)
    return { name, datatype, shape, data: { json: input.data } }
  }
  if (input.data !== undefined) throw invalid(`${what} has both data and binary_data_size`)
  return { name, datatype, shape, data: { bytes: tail.take(size, what) } }
}

function readShape(value: unknown, what: string): number[] {
  const shape = list(value, `shape of ${what}`, requestLimits.rank)
  for (const side of shape) {
    if (!Number.isSafeInteger(side) || Number(side) < 0) {
      throw invalid(`shape of ${what} must hold integers from 0 on, received ${shown(shape)}`)
    }
  }
  return shape as number[]
}

function readOutputs(value: unknown, binaryOutput: boolean): RequestedOutput[] | undefined {
  if (value === undefined) return undefined
  const outputs = list(value, 'outputs', requestLimits.outputs).map((one, i) => {
    const output = object(one, `outputs[${i}]`)
    const name = text(output.name, `the name of outputs[${i}]`, requestLimits.id)
    const parameters = readParameters(output.parameters, `output ${name}`)
    const binary = flag(parameters.binary_data, 'binary_data') ?? binaryOutput
    return { name, binary, classification: readCount(parameters.classification, name) }
  })
  return outputs.length === 0 ? undefined : outputs
}

function readCount(value: unknown, name: string): number {
  if (value === undefined) return 0
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value)
  throw invalid(`classification of output ${name} must be an integer, received ${shown(value)}`)
}

function readParameters(value: unknown, what: string): Parameters {
  if (value === undefined) return {}
  const parameters = object(value, `parameters of ${what}`)
  const entries = Object.entries(parameters)
  if (entries.length > requestLimits.parameters) {
    throw invalid(
      `${what} may have ${requestLimits.parameters} parameters, received ${entries.length}`
    )
  }
  for (const [name, member] of entries) {
    if (!['string', 'number', 'boolean'].includes(typeof member)) {
      throw invalid(
        `parameter ${name.slice(0, 60)} of ${what} must be a string, number or boolean, received ${shown(member)}`
      )
    }
  }
  return parameters as Parameters
}

function flag(value: unknown, name: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  throw invalid(`parameter ${name} must be true or false, received ${shown(value)}`)
}

function object(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>
  }
  throw invalid(`${what} must be an object, received ${shown(value)}`)
}

function list(value: unknown, what: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} must be a list, received ${shown(value)}`)
  if (value.length <= most) return value
  throw invalid(`${what} may hold ${most} members, received ${value.length}`)
}

function text(value: unknown, what: string, most: number): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= most) return value
  throw invalid(`${what} must be a string of 1 to ${most} characters, received ${shown(value)}`)
}

/** The kind of a value and the beginning of a short one: never a whole tensor. */
export function shown(value: unknown): string {
  if (value === undefined) return 'none'
  if (Array.isArray(value)) {
    return value.length <= requestLimits.rank && value.every((one) => typeof one !== 'object')
      ? `[${value.map((one) => String(one).slice(0, 20)).join(', ')}]`
      : `a list of ${value.length}`
  }
  if (typeof value === 'object') return value === null ? 'null' : 'an object'
  return String(value).slice(0, 60)
}

/** The tensors behind the JSON, in the order in which it lists them. */
class Tail {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  take(size: unknown, what: string): Uint8Array {
    const left = this.#bytes.length - this.#at
    if (!Number.isSafeInteger(size) || Number(size) < 0 || Number(size) > left) {
      throw invalid(
        `binary_data_size of ${what} must be an integer of at most the ${left} bytes that are left, received ${shown(size)}`
      )
    }
    this.#at += Number(size)
    return this.#bytes.subarray(this.#at - Number(size), this.#at)
  }

  requireEmpty(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0) throw invalid(`${left} bytes belong to no tensor`)
  }
}
