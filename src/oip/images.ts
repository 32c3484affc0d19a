/**
 * The images of an inference request: tensors of pixels (UINT8) or encoded files (BYTES), for models with
 * one input.
 *
 * As OpenVINO Model Server does, an image model takes BYTES as encoded images of any size; they are decoded
 * and resized here as everywhere else. In JSON they are base64 (RFC 4648 section 4).
 */
import { invalid } from './invalid.ts'
import { type InputTensor, shown } from './request.ts'

export interface ImageInput {
  readonly name: string
  /** Side of the square in pixels. */
  readonly size: number
  readonly channels: number
}

/** Either all pixels [n, size, size, channels] one image after the other, or files. */
export interface Images {
  readonly form: 'pixels' | 'encoded'
  readonly images: readonly Uint8Array[]
}

export const imageLimits = { images: 64, bytes: 20 * 1024 * 1024 } as const

/**
 * @throws ServiceError REQUEST_MALFORMED naming name, datatype, shape or size that was received
 */
export function imagesOf(
  inputs: readonly InputTensor[] | { readonly raw: Uint8Array },
  model: ImageInput
): Images {
  if ('raw' in inputs) return rawImage(inputs.raw, model)
  const [input, other] = inputs
  const stranger = [input, other].find((one) => one !== undefined && one.name !== model.name)
  if (stranger !== undefined || input === undefined || other !== undefined) {
    const received = inputs.map(({ name }) => name).join(', ')
    throw invalid(`the model has one input, ${model.name}, received ${received.slice(0, 200)}`)
  }
  if (input.datatype === 'UINT8') return pixels(input, model)
  if (input.datatype === 'BYTES') return files(input)
  throw invalid(
    `input ${model.name} is UINT8 (pixels) or BYTES (encoded images), received ${input.datatype}`
  )
}

/** One image and no JSON: pixels where the size is theirs, else a file. */
function rawImage(raw: Uint8Array, { size, channels }: ImageInput): Images {
  if (raw.length === 0) throw invalid('the body is empty')
  const form = raw.length === size * size * channels ? 'pixels' : 'encoded'
  return { form, images: [raw] }
}

function pixels({ name, shape, data }: InputTensor, { size, channels }: ImageInput): Images {
  const [count = 0, ...sides] = shape
  if (shape.length !== 4 || sides.join() !== [size, size, channels].join()) {
    throw invalid(
      `shape of input ${name} must be [n, ${size}, ${size}, ${channels}], received ${shown(shape)}`
    )
  }
  requireCount(count, name)
  const stride = size * size * channels
  const bytes =
    'bytes' in data ? data.bytes : flatten(data.json, { name, shape, length: count * stride })
  if (bytes.length !== count * stride) {
    throw invalid(
      `input ${name} of shape ${shown(shape)} has ${count * stride} bytes, received ${bytes.length}`
    )
  }
  const images = Array.from({ length: count }, (_, i) =>
    bytes.subarray(i * stride, (i + 1) * stride)
  )
  return { form: 'pixels', images }
}

function requireCount(count: number, name: string): void {
  if (count >= 1 && count <= imageLimits.images) return
  throw invalid(`input ${name} may hold 1 to ${imageLimits.images} images, received ${count}`)
}

interface Wanted {
  readonly name: string
  readonly shape: readonly number[]
  readonly length: number
}

/** Row-major numbers, nested by the shape or flat. */
function flatten(json: unknown, wanted: Wanted): Uint8Array {
  const bytes = new Uint8Array(wanted.length)
  const isFlat = Array.isArray(json) && !Array.isArray(json[0])
  const end = fill(json, {
    ...wanted,
    shape: isFlat ? [wanted.length] : wanted.shape,
    bytes,
    at: 0
  })
  if (end !== wanted.length) {
    throw invalid(
      `data of input ${wanted.name} must hold ${wanted.length} numbers, received ${end}`
    )
  }
  return bytes
}

interface Filling extends Wanted {
  readonly bytes: Uint8Array
  readonly at: number
}

/** Writes one level of nesting; returns where the next one goes. Never deeper than the shape. */
function fill(json: unknown, { name, shape, length, bytes, at }: Filling): number {
  const [side = 0, ...inner] = shape
  if (!Array.isArray(json) || json.length !== side) {
    const received = Array.isArray(json) ? json.length : shown(json)
    throw invalid(`data of input ${name} must hold ${side} members here, received ${received}`)
  }
  let next = at
  for (const member of json) {
    if (inner.length > 0) next = fill(member, { name, shape: inner, length, bytes, at: next })
    else {
      if (!Number.isInteger(member) || member < 0 || member > 255) {
        throw invalid(
          `data of input ${name} must be integers from 0 to 255, received ${shown(member)}`
        )
      }
      bytes[next] = member
      next += 1
    }
  }
  return next
}

function files({ name, shape, data }: InputTensor): Images {
  const [count = 0, one = 1] = shape
  if (shape.length < 1 || shape.length > 2 || one !== 1) {
    throw invalid(`shape of BYTES input ${name} must be [n] or [n, 1], received ${shown(shape)}`)
  }
  requireCount(count, name)
  const images = 'bytes' in data ? elements(data.bytes, name) : base64(data.json, name)
  if (images.length !== count) {
    throw invalid(`input ${name} must hold ${count} images, received ${images.length}`)
  }
  for (const { length } of images) {
    if (length > imageLimits.bytes) {
      throw invalid(`an image may have ${imageLimits.bytes} bytes, received ${length}`)
    }
  }
  return { form: 'encoded', images }
}

/** Each element is its length as uint32, little-endian, then its bytes. */
function elements(bytes: Uint8Array, name: string): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : Number.POSITIVE_INFINITY
    if (at + 4 + length > bytes.length || found.length === imageLimits.images) {
      throw invalid(`the elements of BYTES input ${name} do not fill its ${bytes.length} bytes`)
    }
    found.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return found
}

function base64(json: unknown, name: string): Uint8Array[] {
  const flat = Array.isArray(json) ? json.flat() : [json]
  return flat.map((one: unknown) => {
    const isBase64 =
      typeof one === 'string' && one.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(one)
    if (isBase64) return Buffer.from(one, 'base64')
    throw invalid(
      `data of BYTES input ${name} must be base64 (RFC 4648 section 4) with padding, received ${shown(one)}`
    )
  })
}
