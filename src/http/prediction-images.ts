/**
 * The images of a prediction request, in any of its three forms: one encoded image as body,
 * multipart files, or base64 in JSON.
 *
 * Nothing is decoded here: that is left to an engine process, which may die of it.
 */
import type { MultipartFile, MultipartValue } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { EncodedImages, imageTypes, predictionLimits } from '../contract/prediction.ts'
import { type Fault, ServiceError } from '../errors.ts'
import type { Holding } from './byte-budget.ts'
import { findFaults } from './faults.ts'
import { readAll, refuseLarge, tooLarge, withinTime } from './read-body.ts'

/** The encoded bytes of an image, or why they cannot be had. */
export type SentImage = Uint8Array | ServiceError

const { images: maxImages, bytesPerImage, bytesPerRequest } = predictionLimits
/** Beside the images themselves: part headers, boundaries, JSON. */
const overhead = 1024 * 1024
/** base64 takes four characters for three bytes. */
const jsonLimit = Math.ceil((bytesPerRequest * 4) / 3) + overhead

/** Objects, lists and commas of a JSON body: far more than the largest request has. */
const mostMembers = 4096
const [openBrace, openBracket, comma] = [0x7b, 0x5b, 0x2c]

type Form = 'image' | 'multipart' | 'json'
const limits: Readonly<Record<Form, number>> = {
  image: bytesPerImage,
  multipart: bytesPerRequest + overhead,
  json: jsonLimit
}

/** @throws ServiceError MEDIA_TYPE_UNSUPPORTED naming what is supported. */
export function formOf(request: FastifyRequest): Form {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/json') return 'json'
  if (type === 'multipart/form-data') return 'multipart'
  // Which image it is, its own first bytes tell; a wrong subtype is no reason to refuse it.
  if (type.startsWith('image/')) return 'image'
  throw new ServiceError('MEDIA_TYPE_UNSUPPORTED', {
    detail: `Cannot read the request: its content type must be ${imageTypes.join(', ')}, multipart/form-data or application/json, received ${type === '' ? 'none' : type}`
  })
}

interface ReadOptions {
  readonly form: Form
  readonly holding: Holding
  /** The whole body must have arrived by then. */
  readonly arrivalMs: number
}

/**
 * Reads the images. What they take of the budget is the caller's to release, also when this throws.
 *
 * @throws ServiceError REQUEST_TOO_LARGE, REQUEST_INVALID, REQUEST_MALFORMED, REQUEST_TIMEOUT,
 *   QUEUE_FULL.
 */
export async function readImages(
  request: FastifyRequest,
  { form, holding, arrivalMs }: ReadOptions
): Promise<readonly SentImage[]> {
  refuseLarge(request, limits[form])
  return withinTime(arrivalMs, readers[form](request, holding))
}

type Reader = (request: FastifyRequest, holding: Holding) => Promise<SentImage[]>

const readers: Readonly<Record<Form, Reader>> = {
  image: readImage,
  multipart: readMultipart,
  json: readJson
}

async function readImage(request: FastifyRequest, holding: Holding): Promise<SentImage[]> {
  const bytes = await readAll(request.raw, { limit: bytesPerImage, holding })
  if (bytes.length > 0) return [bytes]
  throw new ServiceError('REQUEST_INVALID', {
    detail: 'Cannot read the image: the body is empty',
    errors: [{ pointer: '', detail: 'must be an encoded image', received: null }]
  })
}

async function readJson(request: FastifyRequest, holding: Holding): Promise<SentImage[]> {
  const text = await readAll(request.raw, { limit: jsonLimit, holding })
  refuseManyMembers(text)
  const body = parseJson(text)
  const errors = findFaults(EncodedImages, body)
  if (errors.length > 0) throw invalid(errors)
  return (body as EncodedImages).images.map(({ b64 }, i) => decodeBase64(b64, `/images/${i}/b64`))
}

/** Millions of `{}` parse to gigabytes, while base64 has none of these characters. */
function refuseManyMembers(text: Uint8Array): void {
  let members = 0
  for (const character of [openBrace, openBracket, comma]) {
    for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) {
      members += 1
      if (members > mostMembers) {
        throw new ServiceError('REQUEST_TOO_LARGE', {
          detail: `Cannot read the request: at most ${maxImages} images are allowed, received more than ${mostMembers} members`
        })
      }
    }
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ServiceError('REQUEST_MALFORMED', {
      detail: `Cannot read the request: it is not JSON, received ${bytes.length} bytes`,
      cause
    })
  }
}

/** RFC 4648 section 4, padded; Node's own decoder would skip whatever it does not know. */
function decodeBase64(text: string, pointer: string): SentImage {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    const bytes = Buffer.from(text, 'base64')
    return bytes.length <= bytesPerImage ? bytes : tooLarge(bytesPerImage, `${bytes.length} bytes`)
  }
  const detail = text.startsWith('data:')
    ? 'must be base64 alone, without `data:...;base64,`'
    : 'must be base64 (RFC 4648 section 4) with padding'
  return invalid([{ pointer, detail, received: text.slice(0, 40) }])
}

async function readMultipart(request: FastifyRequest, holding: Holding): Promise<SentImage[]> {
  const images: SentImage[] = []
  let bytes = 0
  try {
    for await (const part of request.parts({
      limits: {
        fileSize: bytesPerImage,
        files: maxImages,
        fields: 16,
        parts: maxImages + 16,
        fieldNameSize: 100,
        fieldSize: 1000,
        headerPairs: 32
      }
    })) {
      const image = await readPart(part, holding)
      if (image instanceof Uint8Array) bytes += image.length
      if (bytes > bytesPerRequest) throw tooLarge(bytesPerRequest, 'more')
      images.push(image)
    }
  } catch (error) {
    throw asMultipartError(error)
  }
  if (images.length > 0) return images
  throw invalid([{ pointer: '/image', detail: `1 to ${maxImages} files are needed`, received: 0 }])
}

async function readPart(
  part: MultipartFile | MultipartValue,
  holding: Holding
): Promise<SentImage> {
  const pointer = `/${part.fieldname.replaceAll('~', '~0').replaceAll('/', '~1')}`
  if (part.fieldname !== 'image') {
    throw invalid([{ pointer, detail: 'unknown field; images are sent as `image`' }])
  }
  if (part.type === 'field') {
    throw invalid([{ pointer, detail: 'must be a file: give it a filename' }])
  }
  const bytes = await readAll(part.file, { limit: bytesPerImage, holding })
  return part.file.truncated ? tooLarge(bytesPerImage, 'more') : bytes
}

function asMultipartError(error: unknown): unknown {
  if (error instanceof ServiceError) return error
  const { code, message } = error as { code?: string; message?: string }
  if (code === 'FST_FILES_LIMIT' || code === 'FST_PARTS_LIMIT') {
    return new ServiceError('REQUEST_TOO_LARGE', {
      detail: `Cannot read the request: at most ${maxImages} images are allowed, received more`
    })
  }
  return new ServiceError('REQUEST_MALFORMED', {
    detail: `Cannot read the multipart body: ${message}`,
    cause: error
  })
}

function invalid(errors: readonly Fault[]): ServiceError {
  return new ServiceError('REQUEST_INVALID', {
    detail: `Cannot accept the request body: ${errors.length === 1 ? 'one fault' : `${errors.length} faults`} found`,
    errors
  })
}
