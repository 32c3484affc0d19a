/**
 * Reads a multipart upload onto the disk: fields in any order, files streamed with their digest.
 *
 * What a client declares decides nothing; names of files are kept for reports and never used as paths.
 * A body that breaks off, or breaks a limit, leaves nothing behind.
 */
import { createHash, randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { asDiskError, type Fault, ServiceError } from '../errors.ts'

export interface ReceivedFile {
  /** Of the form. */
  readonly field: string
  readonly path: string
  /** As the client named it. */
  readonly name: string
  readonly sha256: string
  readonly bytes: number
}

export interface Upload {
  readonly fields: ReadonlyMap<string, string>
  readonly files: readonly ReceivedFile[]
}

export interface UploadRules {
  /** Existing folder that the files are written to, under names of our own; null to digest them only. */
  readonly folder: string | null
  /** Asked before each piece is written. @throws ServiceError DISK_FULL */
  readonly admit: (bytes: number) => Promise<void>
  readonly fields: readonly string[]
  /** Those that may be files. @default ['file'] */
  readonly fileFields?: readonly string[]
  /** Those that may be JSON, and are kept as its text. @default none */
  readonly jsonFields?: readonly string[]
  /** Of a field that is no file. @default 4096 */
  readonly fieldBytes?: number
  readonly maxFiles: number
  readonly maxBytesPerFile: number
}

const fileFieldsOf = ({ fileFields = ['file'] }: UploadRules): readonly string[] => fileFields
const fieldBytesOf = ({ fieldBytes = 4096 }: UploadRules): number => fieldBytes

/** Bytes that a request says its body has; 0 when it does not say. */
export const announcedBytes = ({ headers }: FastifyRequest): number =>
  Number(headers['content-length'] ?? 0)

/**
 * Reads the request to its end.
 *
 * @throws ServiceError REQUEST_INVALID with a pointer per fault, REQUEST_MALFORMED, REQUEST_TOO_LARGE,
 *   MEDIA_TYPE_UNSUPPORTED, DISK_FULL. The folder is the caller's to remove.
 */
export async function readUpload(request: FastifyRequest, rules: UploadRules): Promise<Upload> {
  if (!request.isMultipart()) {
    throw new ServiceError('MEDIA_TYPE_UNSUPPORTED', {
      detail: `Cannot read the request: its content type must be multipart/form-data, received ${request.headers['content-type'] ?? 'none'}`
    })
  }
  const fields = new Map<string, string>()
  const files: ReceivedFile[] = []
  const faults: Fault[] = []
  try {
    for await (const part of request.parts({ limits: limitsOf(rules) })) {
      const fault =
        part.type === 'file'
          ? await takeFile(part, { rules, files })
          : takeField(part.fieldname, part.value, { rules, fields, truncated: part.valueTruncated })
      if (fault !== null) faults.push(fault)
    }
  } catch (error) {
    // What is still coming is let pass: a client that only sends would never read the answer.
    request.raw.resume()
    throw asUploadError(error, rules)
  }
  if (faults.length > 0) throw invalidUpload(faults)
  return { fields, files }
}

export const invalidUpload = (errors: readonly Fault[]): ServiceError =>
  new ServiceError('REQUEST_INVALID', {
    detail: `Cannot accept the upload: ${errors.length === 1 ? 'one fault' : `${errors.length} faults`} found`,
    errors
  })

/** Beyond the stated fields, so that a stray one is named and not just counted. */
const strayParts = 16

const limitsOf = (rules: UploadRules) => ({
  fileSize: rules.maxBytesPerFile,
  files: rules.maxFiles,
  fields: rules.fields.length + strayParts,
  parts: rules.maxFiles + rules.fields.length + strayParts,
  fieldNameSize: 100,
  fieldSize: fieldBytesOf(rules),
  headerPairs: 32
})

async function takeFile(
  part: MultipartFile,
  { rules, files }: { readonly rules: UploadRules; readonly files: ReceivedFile[] }
): Promise<Fault | null> {
  const field = part.fieldname
  if (!fileFieldsOf(rules).includes(field)) {
    part.file.resume()
    return {
      pointer: pointer(field),
      detail: `unknown file field; files are sent as ${fileFieldsOf(rules)
        .map((name) => `\`${name}\``)
        .join(' and ')}`
    }
  }
  const path = join(rules.folder ?? '', randomUUID())
  const { sha256, bytes } =
    rules.folder === null ? await digest(part) : await store(part, path, rules.admit)
  if (part.file.truncated) {
    throw new ServiceError('REQUEST_TOO_LARGE', {
      detail: `Cannot accept the upload: a file may have at most ${rules.maxBytesPerFile} bytes, received more`
    })
  }
  // A part of type application/octet-stream is a file, whether it has a name or not.
  const name = (part.filename as string | undefined) || `file ${files.length + 1}`
  files.push({ field, path, name, sha256, bytes })
  return null
}

async function digest(part: MultipartFile) {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of part.file as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { sha256: hash.digest('hex'), bytes }
}

async function store(part: MultipartFile, path: string, admit: UploadRules['admit']) {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await open(path, 'wx')
  try {
    for await (const chunk of part.file as AsyncIterable<Buffer>) {
      await admit(chunk.length)
      hash.update(chunk)
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
      bytes += chunk.length
    }
    await handle.sync()
  } catch (error) {
    throw asDiskError(error, 'store the upload')
  } finally {
    await handle.close()
  }
  return { sha256: hash.digest('hex'), bytes }
}

interface FieldTarget {
  readonly rules: UploadRules
  readonly fields: Map<string, string>
  readonly truncated: boolean
}

function takeField(
  name: string,
  value: unknown,
  { rules, fields, truncated }: FieldTarget
): Fault | null {
  const at = pointer(name)
  if (!rules.fields.includes(name)) {
    if (fileFieldsOf(rules).includes(name))
      return { pointer: at, detail: 'must be a file: give it a filename' }
    const known = new Set([...rules.fields, ...fileFieldsOf(rules)])
    return { pointer: at, detail: `unknown field; known are ${[...known].join(', ')}` }
  }
  const text = rules.jsonFields?.includes(name) ? asText(value) : value
  if (truncated || typeof text !== 'string') {
    return { pointer: at, detail: `must be a text of at most ${fieldBytesOf(rules)} bytes` }
  }
  if (fields.has(name)) return { pointer: at, detail: 'was given twice', received: text }
  fields.set(name, text)
  return null
}

/** A part of type application/json comes parsed. */
const asText = (value: unknown): unknown =>
  typeof value === 'string' ? value : JSON.stringify(value)

function asUploadError(error: unknown, { maxFiles }: UploadRules): unknown {
  if (error instanceof ServiceError) return error
  const { code, message } = error as { code?: string; message?: string }
  if (code === 'FST_FILES_LIMIT' || code === 'FST_PARTS_LIMIT' || code === 'FST_FIELDS_LIMIT') {
    return new ServiceError('REQUEST_TOO_LARGE', {
      detail: `Cannot accept the upload: at most ${maxFiles} files are allowed, received more parts than that`
    })
  }
  return new ServiceError('REQUEST_MALFORMED', {
    detail: `Cannot read the multipart body: ${message}`,
    cause: error
  })
}

const pointer = (name: string): string => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
