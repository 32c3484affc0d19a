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
  /** Existing folder that the files are written to, under names of our own. */
  readonly folder: string
  readonly fields: readonly string[]
  readonly maxFiles: number
  readonly maxBytesPerFile: number
}

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

const limitsOf = ({ fields, maxFiles, maxBytesPerFile }: UploadRules) => ({
  fileSize: maxBytesPerFile,
  files: maxFiles,
  fields: fields.length + strayParts,
  parts: maxFiles + fields.length + strayParts,
  fieldNameSize: 100,
  fieldSize: 4096,
  headerPairs: 32
})

async function takeFile(
  part: MultipartFile,
  { rules, files }: { readonly rules: UploadRules; readonly files: ReceivedFile[] }
): Promise<Fault | null> {
  if (part.fieldname !== 'file') {
    part.file.resume()
    return {
      pointer: pointer(part.fieldname),
      detail: 'unknown file field; files are sent as `file`'
    }
  }
  const path = join(rules.folder, randomUUID())
  const { sha256, bytes } = await store(part, path)
  if (part.file.truncated) {
    throw new ServiceError('REQUEST_TOO_LARGE', {
      detail: `Cannot accept the upload: a file may have at most ${rules.maxBytesPerFile} bytes, received more`
    })
  }
  // A part of type application/octet-stream is a file, whether it has a name or not.
  const name = (part.filename as string | undefined) || `file ${files.length + 1}`
  files.push({ path, name, sha256, bytes })
  return null
}

async function store(part: MultipartFile, path: string) {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await open(path, 'wx')
  try {
    for await (const chunk of part.file as AsyncIterable<Buffer>) {
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
  if (name === 'file') return { pointer: at, detail: 'must be a file: give it a filename' }
  if (!rules.fields.includes(name)) {
    return {
      pointer: at,
      detail: `unknown field; known are ${[...rules.fields, 'file'].join(', ')}`
    }
  }
  if (truncated || typeof value !== 'string') {
    return { pointer: at, detail: 'must be a text of at most 4096 bytes' }
  }
  if (fields.has(name)) return { pointer: at, detail: 'was given twice', received: value }
  fields.set(name, value)
  return null
}

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
